#include "osc.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace wavenet {

namespace {

constexpr int DEEPEST = 8;  // bundles in bundles

/// What is left of a packet. Everything in it fills whole words of four bytes, most significant first.
struct Reader {
    const uint8_t* at;
    size_t left;

    const uint8_t* take(size_t size) {
        if (size > left) throw OscError("it ends too early");
        left -= size;
        return std::exchange(at, at + size);
    }

    uint64_t number(size_t size) {
        uint64_t value = 0;
        for (const uint8_t* byte = take(size), *end = at; byte < end; byte++) value = value << 8 | *byte;
        return value;
    }

    template <class Float, class Bits>
    double real() {
        const Bits bits = Bits(number(sizeof(Bits)));
        Float value;
        std::memcpy(&value, &bits, sizeof value);
        return double(value);
    }

    std::string text() {
        const uint8_t* end = std::find(at, at + left, 0);
        const size_t length = size_t(end - at), padded = length / 4 * 4 + 4;
        const uint8_t* from = take(padded);
        if (std::any_of(from + length, from + padded, [](uint8_t byte) { return byte; }))
            throw OscError("a text is not padded with zeros");
        return {from, from + length};
    }
};

OscArgument argument(Reader& reader, char type) {
    switch (type) {
        case 'i': return {true, double(int32_t(reader.number(4))), ""};
        case 'f': return {true, reader.real<float, uint32_t>(), ""};
        case 'd': return {true, reader.real<double, uint64_t>(), ""};
        case 's': return {false, 0, reader.text()};
        default: throw OscError("it has an argument of type " + std::string(1, type) + ", and not of i, f, d or s");
    }
}

void parse(Reader reader, int depth, std::vector<OscMessage>& messages) {
    OscMessage message{reader.text(), {}};
    if (message.address == "#bundle") {
        if (depth == DEEPEST) throw OscError("it has bundles in bundles, too deep");
        reader.take(8);  // the time
        while (reader.left) {
            const size_t size = size_t(reader.number(4));
            parse({reader.take(size), size}, depth + 1, messages);
        }
        return;
    }
    if (message.address.empty() || message.address[0] != '/') throw OscError("its address does not begin with /");
    const std::string types = reader.text();
    if (types.empty() || types[0] != ',') throw OscError("its types do not begin with a comma");
    for (char type : types.substr(1)) message.arguments.push_back(argument(reader, type));
    if (reader.left) throw OscError("it is longer than its arguments");
    messages.push_back(std::move(message));
}

}  // namespace

std::vector<OscMessage> parse_osc(const uint8_t* packet, size_t size) {
    std::vector<OscMessage> messages;
    parse({packet, size}, 0, messages);
    return messages;
}

}  // namespace wavenet
