#include "network.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "exported files are little-endian and the kernels do not convert them, so this processor is not supported"
#endif

namespace wavenet {

namespace {

constexpr char MAGIC[8] = {'W', 'A', 'V', 'E', 'N', 'E', 'T', '\n'};
constexpr uint32_t VERSION = 3, OLDEST_VERSION = 2;
constexpr uint32_t MOST_LAYERS = 4096, MOST_CHANNELS = 1 << 16, MOST_SAMPLES = 1 << 22, MOST_MIXTURES = 1000;
constexpr uint32_t MOST_VALUES = 1 << 16, MOST_NAME = 1 << 12;
constexpr uint64_t MOST_STATE = uint64_t(1) << 30, MOST_LANES = 16;
constexpr uint64_t MOST_GROWTH = 1024;  // of a stream's past inputs, times the file's size

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

uint64_t bytes_of(Precision precision) {
    return precision == Precision::float32 ? 4 : precision == Precision::bfloat16 ? 2 : 1;
}

/// Whether these bytes are UTF-8 without zero bytes: each character in its shortest form, at most U+10FFFF, and no half
/// of a surrogate pair.
bool is_text(const uint8_t* bytes, int64_t size) {
    for (int64_t i = 0; i < size;) {
        const uint8_t first = bytes[i++];
        const int more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if (first == 0 || (first >= 0x80 && first < 0xC2) || first > 0xF4 || size - i < more) return false;
        const uint8_t least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        const uint8_t most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        if (more && (bytes[i] < least || bytes[i] > most)) return false;
        for (int k = 0; k < more; k++)
            if ((bytes[i++] & 0xC0) != 0x80) return false;
    }
    return true;
}

/// Reads the bytes in order, and never past their end.
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

    const float* floats(uint64_t count) {
        const uint8_t* bytes = take(4 * count);
        check_finite<uint32_t>(bytes, count, 0x7F800000u);
        return reinterpret_cast<const float*>(bytes);
    }

    const float* scales(uint64_t count) {
        const float* values = floats(count);
        if (!std::all_of(values, values + count, [](float scale) { return scale > 0; }))
            throw FormatError("a scale in the file is not above 0: it was altered");
        return values;
    }

    /// Refuses infinities and NaN, whose exponent has all bits set.
    template <class Bits>
    static void check_finite(const uint8_t* bytes, uint64_t count, Bits exponent) {
        bool finite = true;
        for (uint64_t i = 0; i < count; i++) {
            Bits bits;
            std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
            finite &= (bits & exponent) != exponent;
        }
        if (!finite) throw FormatError("the file holds numbers that are not finite: it was altered, or its training failed");
    }

    Matrix matrix(Precision precision, int64_t rows, int64_t columns) {
        Matrix m{rows, columns};
        if (!rows) return m;
        if (precision == Precision::int8) {
            m.input_scale = *scales(1);
            m.input_zero = int(number("a matrix's zero", 0, 255));
            m.scales = scales(rows);
        }
        m.bias = floats(rows);
        uint64_t count = uint64_t(rows) * uint64_t(columns), size = count * bytes_of(precision);
        m.weights = take(size);
        if (precision == Precision::int8 && size && std::memchr(m.weights, 0x80, size))
            throw FormatError("a weight in the file is not in -127..127: it was altered");
        if (precision == Precision::float32) check_finite<uint32_t>(m.weights, count, 0x7F800000u);
        if (precision == Precision::bfloat16) check_finite<uint16_t>(m.weights, count, 0x7F80u);
        take(-size & 3);  // padding, so that floats stay aligned
        return m;
    }

    std::string name() {
        const int64_t size = number("the length of a label's name", 1, MOST_NAME);
        const uint8_t* bytes = take(uint64_t(size));
        if (!is_text(bytes, size)) throw FormatError("the name of a label in the file is not UTF-8: it was altered");
        const int64_t padding = -size & 3;
        const uint8_t* zeros = take(uint64_t(padding));
        if (std::any_of(zeros, zeros + padding, [](uint8_t byte) { return byte != 0; }))
            throw FormatError("the name of a label in the file is longer than it says: it was altered");
        return {reinterpret_cast<const char*>(bytes), size_t(size)};
    }

    std::vector<LabelValue> label_values() {
        const int64_t count = number("the number of label values", 0, MOST_VALUES);
        std::vector<LabelValue> found;
        std::set<std::string> labels, values;  // all labels so far, and the present one's values
        for (int64_t i = 0; i < count; i++) {
            LabelValue one{name(), name()};
            const std::string where = "label value " + std::to_string(i + 1) + " of " + std::to_string(count);
            if (found.empty() || found.back().label != one.label) {
                if (!labels.insert(one.label).second)
                    throw FormatError(where + " in the file is apart from the others of its label: it was altered");
                values.clear();
            }
            if (!values.insert(one.value).second)
                throw FormatError(where + " in the file is there twice: it was altered");
            found.push_back(std::move(one));
        }
        return found;
    }
};

}  // namespace

int64_t Network::receptive_field() const {
    int64_t field = initial_taps;
    for (const Layer& layer : layers) field += (kernel_size - 1) * layer.dilation;
    return field;
}

uint64_t Network::state_bytes() const {
    uint64_t channels = (uint64_t(residual) + MOST_LANES - 1) / MOST_LANES * MOST_LANES;
    return uint64_t(receptive_field() - initial_taps) * channels * bytes_of(precision);
}

void Network::condition_on(const float* weights, int64_t rows, int64_t channels) {
    if (rows != int64_t(layers.size()) * 2 * gate)
        throw FormatError("the conditioning has " + std::to_string(rows) + " rows, which do not fit this network");
    condition_channels = channels;
    condition.assign(weights, weights + rows * channels);
    labels.clear();
}

Network Network::parse(const uint8_t* bytes, size_t size) {
    if (size < 12 || std::memcmp(bytes, MAGIC, 8) != 0) throw FormatError("this is not an exported WaveNet");
    uint32_t version, sum;
    std::memcpy(&version, bytes + 8, 4);
    if (version < OLDEST_VERSION || version > VERSION)
        throw FormatError("the file has format version " + std::to_string(version) + ", and this program reads versions " +
                          std::to_string(OLDEST_VERSION) + " to " + std::to_string(VERSION) +
                          ": export it again, or use a program of that version");
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
    uint64_t state = net.state_bytes();
    if (state > MOST_STATE)
        throw FormatError("the network would keep " + std::to_string(state >> 20) + " MiB for each stream, its past of " +
                          std::to_string(net.receptive_field() - 1) + " samples in " + std::to_string(net.residual) +
                          " channels, but at most " + std::to_string(MOST_STATE >> 20) + " MiB are allowed");
    if (state > MOST_GROWTH * size)
        throw FormatError("the network would keep " + std::to_string(state) + " bytes for each stream, its past of " +
                          std::to_string(net.receptive_field() - 1) + " samples in " + std::to_string(net.residual) +
                          " channels, but a file of " + std::to_string(size) + " bytes may ask for at most " +
                          std::to_string(MOST_GROWTH) + " times its size");
    net.initial = reader.floats(uint64_t(net.initial_taps) * CODES * net.residual);
    for (Layer& layer : net.layers) {
        bool last = &layer == &net.layers.back();
        layer.conv = reader.matrix(net.precision, 2 * net.gate, net.kernel_size * net.residual);
        layer.residual = reader.matrix(net.precision, last ? 0 : net.residual, net.gate);
    }
    net.skip_sum = reader.matrix(net.precision, net.skip, count * net.gate);
    net.hidden = reader.matrix(net.precision, net.head, net.skip);
    net.output = reader.matrix(net.precision, net.outputs(), net.head);
    std::vector<LabelValue> labels = version < 3 ? std::vector<LabelValue>() : reader.label_values();
    if (!labels.empty()) {
        const int64_t rows = count * 2 * net.gate, values = int64_t(labels.size());
        net.condition_on(reader.floats(uint64_t(rows) * uint64_t(values)), rows, values);
        net.labels = std::move(labels);
    }
    if (reader.left) throw FormatError("the file is longer than its own header says: it was altered");
    return net;
}

}  // namespace wavenet
