#include "network.h"

#include <array>
#include <cstring>
#include <limits>

namespace wavenet {

namespace {

constexpr char MAGIC[8] = {'W', 'A', 'V', 'E', 'N', 'E', 'T', '\n'};
constexpr uint32_t VERSION = 2;
constexpr uint32_t MOST_LAYERS = 4096, MOST_CHANNELS = 1 << 16, MOST_SAMPLES = 1 << 22, MOST_MIXTURES = 1000;

uint32_t crc32(const uint8_t* bytes, size_t size) {
    static const auto table = [] {
        std::array<uint32_t, 256> entries{};
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
            entries[i] = value;
        }
        return entries;
    }();
    uint32_t value = ~0u;
    for (size_t i = 0; i < size; i++) value = table[(value ^ bytes[i]) & 255] ^ (value >> 8);
    return ~value;
}

/// Walks over the bytes, and refuses to pass their end.
struct Reader {
    const uint8_t* at;
    size_t left;

    const uint8_t* take(uint64_t size) {
        if (size > left) throw FormatError("the file is shorter than its own header says: it was cut off or altered");
        const uint8_t* start = at;
        at += size;
        left -= size;
        return start;
    }

    uint32_t number() {
        uint32_t value;
        std::memcpy(&value, take(4), 4);
        return value;
    }

    int64_t number(const char* name, uint32_t low, uint32_t high) {
        uint32_t value = number();
        if (value < low || value > high)
            throw FormatError(std::string(name) + " is " + std::to_string(value) + " in the file, but it must be in " +
                              std::to_string(low) + ".." + std::to_string(high));
        return value;
    }

    const float* floats(uint64_t count) { return reinterpret_cast<const float*>(take(4 * count)); }

    Matrix matrix(Precision precision, int64_t rows, int64_t columns) {
        Matrix m{rows, columns};
        if (!rows) return m;
        if (precision == Precision::int8) {
            m.input_scale = *floats(1);
            m.input_zero = int(number("a matrix's zero", 0, 255));
            m.scales = floats(rows);
        }
        m.bias = floats(rows);
        uint64_t bytes = precision == Precision::float32 ? 4 : precision == Precision::bfloat16 ? 2 : 1;
        uint64_t size = uint64_t(rows) * uint64_t(columns) * bytes;
        m.weights = take(size);
        take(-size & 3);  // padding, so that floats stay aligned
        return m;
    }
};

}  // namespace

int64_t Network::receptive_field() const {
    int64_t field = initial_taps;
    for (const Layer& layer : layers) field += (kernel_size - 1) * layer.dilation;
    return field;
}

Network Network::parse(const uint8_t* bytes, size_t size) {
    if (size < 12 || std::memcmp(bytes, MAGIC, 8) != 0) throw FormatError("this is not an exported WaveNet");
    uint32_t version, sum;
    std::memcpy(&version, bytes + 8, 4);
    if (version != VERSION)
        throw FormatError("the file has format version " + std::to_string(version) +
                          ", and this program reads version " + std::to_string(VERSION) + ": export it again, or use a program of its own version");
    if (size < 16) throw FormatError("the file is shorter than its own header says: it was cut off or altered");
    std::memcpy(&sum, bytes + size - 4, 4);
    if (sum != crc32(bytes, size - 4)) throw FormatError("the file's checksum is wrong: it was cut off or altered");

    Network net;
    net.storage.resize((size + 3) / 4);
    std::memcpy(net.storage.data(), bytes, size);
    Reader reader{reinterpret_cast<const uint8_t*>(net.storage.data()) + 12, size - 16};
    net.precision = Precision(reader.number("precision", 0, 2));
    net.sample_rate = reader.number("sample_rate", 1, 10'000'000);
    reader.number("mu", CODES - 1, CODES - 1);
    net.mixtures = reader.number("mixtures", 0, MOST_MIXTURES);
    net.initial_taps = reader.number("initial_taps", 1, MOST_SAMPLES);
    net.kernel_size = reader.number("kernel_size", 1, MOST_CHANNELS);
    net.residual = reader.number("residual_channels", 1, MOST_CHANNELS);
    net.gate = reader.number("gate_channels", 1, MOST_CHANNELS);
    net.skip = reader.number("skip_channels", 1, MOST_CHANNELS);
    net.head = reader.number("head_channels", 1, MOST_CHANNELS);
    int64_t count = reader.number("layers", 1, MOST_LAYERS);
    for (int64_t i = 0; i < count; i++) net.layers.push_back({reader.number("dilation", 1, MOST_SAMPLES), {}, {}});
    if (net.receptive_field() > MOST_SAMPLES)
        throw FormatError("the receptive field is longer than " + std::to_string(MOST_SAMPLES) + " samples");
    net.initial = reader.floats(uint64_t(net.initial_taps) * CODES * net.residual);
    for (Layer& layer : net.layers) {
        bool last = &layer == &net.layers.back();
        layer.conv = reader.matrix(net.precision, 2 * net.gate, net.kernel_size * net.residual);
        layer.residual = reader.matrix(net.precision, last ? 0 : net.residual, net.gate);
    }
    net.skip_sum = reader.matrix(net.precision, net.skip, count * net.gate);
    net.hidden = reader.matrix(net.precision, net.head, net.skip);
    net.output = reader.matrix(net.precision, net.outputs(), net.head);
    if (reader.left) throw FormatError("the file is longer than its own header says: it was altered");
    return net;
}

}  // namespace wavenet
