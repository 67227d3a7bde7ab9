// Tests of the OSC parser: known packets, and many that are damaged.
//
//     osc_test [seed=0]

#include "../osc.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

using namespace wavenet;

namespace {

int failures = 0;
std::mt19937 rng;

void expect(bool holds, const char* what) {
    if (holds) return;
    failures++;
    std::printf("FAILED %s\n", what);
}

using Packet = std::string;

Packet text(const std::string& from) { return from + Packet(4 - from.size() % 4, '\0'); }

Packet number(uint64_t value, int bytes) {
    Packet packet;
    for (int i = bytes - 1; i >= 0; i--) packet += char(value >> (8 * i));
    return packet;
}

template <class Bits, class Float>
Packet real(Float value) {
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    return number(bits, sizeof bits);
}

Packet bundle(const std::vector<Packet>& elements) {
    Packet packet = text("#bundle") + number(1, 8);
    for (const Packet& element : elements) packet += number(element.size(), 4) + element;
    return packet;
}

/// On the heap and of its exact size, so that a sanitizer sees each byte that is read too much.
std::vector<OscMessage> parse(const Packet& packet) {
    std::vector<uint8_t> bytes(packet.begin(), packet.end());
    bytes.shrink_to_fit();
    return parse_osc(bytes.data(), bytes.size());
}

bool refused(const Packet& packet, const char* said) {
    try {
        parse(packet);
    } catch (const OscError& error) {
        return std::strstr(error.what(), said) != nullptr;
    }
    return false;
}

const Packet ALL = text("/all") + text(",ifds") + number(0xFFFFFFF9, 4) + real<uint32_t>(0.25f) + real<uint64_t>(-1e9) + text("june");
const Packet LABEL = text("/label") + text(",ssf") + text("speaker") + text("june") + real<uint32_t>(0.7f);
const Packet RESTART = text("/restart") + text(",");
const Packet NESTED = bundle({ALL, bundle({RESTART, bundle({})}), LABEL});

void check_messages() {
    const std::vector<OscMessage> all = parse(ALL);
    expect(all.size() == 1 && all[0].address == "/all" && all[0].arguments.size() == 4, "a message");
    const std::vector<OscArgument>& given = all[0].arguments;
    expect(given[0].is_number && given[0].number == -7, "an int32");
    expect(given[1].is_number && given[1].number == 0.25, "a float32");
    expect(given[2].is_number && given[2].number == -1e9, "a double");
    expect(!given[3].is_number && given[3].text == "june", "a string");
    expect(parse(RESTART).at(0).arguments.empty(), "no argument");
    const std::vector<OscMessage> nested = parse(NESTED);
    expect(nested.size() == 3 && nested[0].address == "/all" && nested[1].address == "/restart" && nested[2].address == "/label", "bundles");
    expect(parse(bundle({})).empty(), "an empty bundle");
}

void check_refusals() {
    expect(refused("", "too early") && refused("/a", "too early") && refused(Packet(4, '\0'), "begin with /"), "no address");
    expect(refused(text("a") + text(","), "begin with /"), "another address");
    expect(refused(text("/a"), "too early") && refused(text("/a") + text("i") + number(1, 4), "comma"), "no types");
    expect(refused(text("/a") + text(",b") + number(0, 4), "type b"), "another type");
    expect(refused(ALL.substr(0, ALL.size() - 4), "too early") && refused(ALL + number(0, 4), "longer"), "another length");
    expect(refused(text("/a") + text(",s") + Packet("ab\0c", 4), "padded"), "no zeros");
    expect(refused(text("#bundle") + number(1, 4), "too early"), "no time");
    expect(refused(text("#bundle") + number(1, 8) + number(0xFFFFFFFF, 4) + RESTART, "too early"), "an element's length");
    Packet deep = RESTART;
    for (int i = 0; i < 8; i++) deep = bundle({deep});
    expect(parse(deep).size() == 1 && refused(bundle({deep}), "too deep"), "bundles in bundles");
    Packet deepest = RESTART;
    for (int i = 0; i < 2000; i++) deepest = bundle({deepest});
    expect(refused(deepest, "too deep"), "very deep bundles");
}

/// Changes, cuts and repeats bytes. Whatever comes out is parsed or refused.
void check_damage() {
    int good = 0, bad = 0;
    for (int round = 0; round < 20000; round++) {
        Packet packet = std::vector<Packet>{ALL, LABEL, RESTART, NESTED}[rng() % 4];
        for (unsigned change = rng() % 4; change--;) {
            const size_t at = rng() % (packet.size() + 1), length = rng() % 9;
            switch (rng() % 4) {
                case 0: packet.resize(at); break;
                case 1: packet.insert(at, packet.substr(packet.size() - std::min(length, packet.size()))); break;
                case 2: packet.erase(at, length); break;
                default: if (at < packet.size()) packet[at] = char(rng() % 3 ? rng() : 255 * (rng() % 2));
            }
        }
        try {
            for (const OscMessage& message : parse(packet)) good += !message.address.empty();
        } catch (const OscError&) {
            bad++;
        }
    }
    expect(good > 1000 && bad > 1000, "some damage is seen and some is none");
}

}  // namespace

int main(int count, char** arguments) {
    rng.seed(count > 1 ? unsigned(std::atoi(arguments[1])) : 0);
    check_messages();
    check_refusals();
    check_damage();
    std::printf("%d failures\n", failures);
    return failures != 0;
}
