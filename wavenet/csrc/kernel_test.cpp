// The kernels tested without Python, so that sanitizers can watch: random shapes against a plain computation, streams
// against singles, chunks against wholes, altered files, and that a step allocates nothing.
//
//     kernel_test [rounds=20] [seed=0]

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

#include "dispatch.h"

static std::atomic<long> allocations{0};
static std::atomic<size_t> allocated{0};  // bytes, ever

static void* allocate(size_t size, size_t align) {
    allocations++;
    allocated += size;
    if (void* p = std::aligned_alloc(align, (size + align - 1) / align * align)) return p;
    throw std::bad_alloc();
}
void* operator new(size_t size) { return allocate(std::max<size_t>(size, 1), 16); }
void* operator new(size_t size, std::align_val_t align) { return allocate(std::max<size_t>(size, 1), size_t(align)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

using namespace wavenet;

namespace {

std::mt19937 rng;
int failures = 0;

void expect(bool holds, const char* what, const char* where) {
    if (holds) return;
    failures++;
    std::printf("FAILED %s (%s)\n", what, where);
}

int between(int low, int high) { return low + int(rng() % unsigned(high - low + 1)); }
float unit() { return float(rng() >> 8) / 8388608.0f - 1.0f; }

/// An exported file of random shape and weights, and the weights again as floats.
struct Example {
    std::vector<uint8_t> bytes;
    std::vector<uint32_t> numbers;
    std::vector<int64_t> dilations;

    void put(const void* from, size_t size) {
        const uint8_t* p = static_cast<const uint8_t*>(from);
        bytes.insert(bytes.end(), p, p + size);
    }
    void put(uint32_t value) { put(&value, 4); }
    void put(float value) { put(&value, 4); }

    void matrix(uint32_t precision, int rows, int columns) {
        if (!rows) return;
        if (precision == 2) {
            put(1.0f / 127);
            put(128u);
            for (int r = 0; r < rows; r++) put(1.0f / (127 * std::sqrt(float(columns))));
        }
        for (int r = 0; r < rows; r++) put(unit() * 0.1f);
        for (int64_t i = 0; i < int64_t(rows) * columns; i++) {
            float w = 2 * unit() / std::sqrt(float(columns));
            uint32_t bits;
            std::memcpy(&bits, &w, 4);
            int8_t small = int8_t(127 * unit());
            if (precision == 0) put(w);
            if (precision == 1) bits >>= 16, put(&bits, 2);
            if (precision == 2) put(&small, 1);
        }
        while (bytes.size() % 4) bytes.push_back(0);
    }

    explicit Example(uint32_t precision) {
        put("WAVENET\n", 8);
        put(2u);
        int taps = between(1, 3), kernel = between(1, 4), residual = between(1, 40), gate = between(1, 40);
        int skip = between(1, 50), head = between(1, 50), layers = between(1, 5);
        int mixtures = between(0, 1) * between(1, 12);
        for (int n : {int(precision), 16000, 255, mixtures, taps, kernel, residual, gate, skip, head, layers}) put(uint32_t(n));
        for (int l = 0; l < layers; l++) dilations.push_back(between(1, 9)), put(uint32_t(dilations.back()));
        for (int i = 0; i < taps * CODES * residual; i++) put(unit());
        for (int l = 0; l < layers; l++) {
            matrix(precision, 2 * gate, kernel * residual);
            matrix(precision, l + 1 < layers ? residual : 0, gate);
        }
        matrix(precision, skip, layers * gate);
        matrix(precision, head, skip);
        matrix(precision, mixtures ? 3 * mixtures : CODES, head);
        seal();
    }

    /// Appends the checksum.
    void seal() {
        uint32_t value = ~0u;
        for (uint8_t byte : bytes) {
            value ^= byte;
            for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
        }
        put(~value);
    }
};

float weight(const Network& net, const Matrix& m, int64_t row, int64_t column) {
    int64_t at = row * m.columns + column;
    if (net.precision == Precision::int8) return float(reinterpret_cast<const int8_t*>(m.weights)[at]) * m.scales[row];
    uint32_t bits = 0;
    int size = net.precision == Precision::float32 ? 4 : 2;
    std::memcpy(&bits, m.weights + at * size, size);
    if (net.precision == Precision::bfloat16) bits <<= 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

std::vector<double> times(const Network& net, const Matrix& m, const std::vector<double>& x) {
    std::vector<double> y(m.rows);
    for (int64_t r = 0; r < m.rows; r++) {
        y[r] = double(m.bias[r]);
        for (int64_t c = 0; c < m.columns; c++) y[r] += double(weight(net, m, r, c)) * x[c];
    }
    return y;
}

/// Logits after `codes`, computed as the equations say, with nothing kept and nothing rounded.
std::vector<double> plain(const Network& net, const std::vector<uint16_t>& codes, const std::vector<float>& conditions) {
    int64_t layers = int64_t(net.layers.size()), field = net.receptive_field(), n = int64_t(codes.size());
    auto code = [&](int64_t t) { return t >= 0 ? int(codes[t]) : net.mixtures ? STEPS : ZERO; };
    std::vector<std::vector<double>> x;
    int64_t first = n - field - net.initial_taps;
    for (int64_t t = first; t < n; t++) {
        x.emplace_back(net.residual);
        for (int64_t k = 0; k < net.initial_taps; k++)
            for (int64_t c = 0; c < net.residual; c++) {
                double place = code(t - net.initial_taps + 1 + k), share = 0;
                if (net.mixtures) {
                    double x = (place - STEPS) / STEPS;
                    place = (std::copysign(std::log1p(255 * std::fabs(x)) / std::log(256.0), x) + 1) * 127.5;
                    share = place - std::floor(place), place = std::floor(place);
                }
                const float* row = net.initial + (k * CODES + int64_t(place)) * net.residual + c;
                x.back()[c] += double(row[0]) * (1 - share) + (share > 0 ? double(row[net.residual]) * share : 0);
            }
    }
    std::vector<double> all_z;
    for (int64_t l = 0; l < layers; l++) {
        const Layer& layer = net.layers[l];
        std::vector<std::vector<double>> above(x.size());
        for (int64_t i = 0; i < int64_t(x.size()); i++) {
            std::vector<double> tapped;
            for (int64_t k = 0; k < net.kernel_size; k++) {
                int64_t from = std::max<int64_t>(0, i - (net.kernel_size - 1 - k) * layer.dilation);
                tapped.insert(tapped.end(), x[from].begin(), x[from].end());
            }
            std::vector<double> h = times(net, layer.conv, tapped), z(net.gate);
            int64_t t = first + i;
            if (!conditions.empty() && t >= 0)
                for (int64_t c = 0; c < 2 * net.gate; c++)
                    h[c] += double(conditions[(t * layers + l) * 2 * net.gate + c]);
            for (int64_t c = 0; c < net.gate; c++) z[c] = std::tanh(h[c]) / (1 + std::exp(-h[net.gate + c]));
            if (i + 1 == int64_t(x.size())) all_z.insert(all_z.end(), z.begin(), z.end());
            above[i] = x[i];
            if (layer.residual.rows) {
                std::vector<double> add = times(net, layer.residual, z);
                for (int64_t c = 0; c < net.residual; c++) above[i][c] += add[c];
            }
        }
        x = above;
    }
    auto relu = [](std::vector<double> v) {
        for (double& value : v) value = std::max(value, 0.0);
        return v;
    };
    return times(net, net.output, relu(times(net, net.hidden, relu(times(net, net.skip_sum, all_z)))));
}

struct Player {
    const Engine& engine;
    std::vector<uint64_t> state;
    std::vector<float> logits;
    std::vector<uint16_t> codes;
    std::vector<float> bits;

    explicit Player(const Engine& engine) : engine(engine), state(engine.state_bytes() / 8 + 1), logits(engine.outputs) {
        engine.start(reinterpret_cast<uint8_t*>(state.data()), logits.data(), nullptr);
    }

    Stream stream(const std::vector<double>& uniforms, int64_t from, int64_t count,
                  const std::vector<float>& conditions = {}, const std::vector<int32_t>& rows = {}) {
        if (int64_t(codes.size()) < from + count) codes.resize(from + count), bits.resize(from + count);
        return {reinterpret_cast<uint8_t*>(state.data()), logits.data(), codes.data() + from, uniforms.data() + from,
                bits.data() + from, conditions.empty() ? nullptr : conditions.data(), count,
                rows.empty() ? nullptr : rows.data()};
    }
};

void check(const Code& code, uint32_t precision) {
    Example example(precision);
    Network net = Network::parse(example.bytes.data(), example.bytes.size());
    std::unique_ptr<Engine> engine = code.make_engine(net);
    constexpr int n = 60;
    int streams = between(1, 14);
    std::vector<std::vector<double>> uniforms(streams, std::vector<double>(n));
    for (auto& row : uniforms)
        for (double& u : row) u = double(rng()) / 4294967296.0;

    std::vector<Player> singles(streams, Player(*engine)), together = singles, ragged = singles, chunked = singles;
    std::vector<Stream> all, some;
    for (int s = 0; s < streams; s++) {
        engine->run({singles[s].stream(uniforms[s], 0, n)}, {}, 1);
        all.push_back(together[s].stream(uniforms[s], 0, n));
        some.push_back(ragged[s].stream(uniforms[s], 0, between(0, n)));
    }
    engine->run(all, {}, between(1, 3));
    engine->run(some, {}, between(1, 3));
    for (int s = 0; s < streams; s++) {
        expect(singles[s].codes == together[s].codes, "streams together equal singles", code.name);
        expect(singles[s].logits == together[s].logits, "logits together equal singles'", code.name);
        expect(std::equal(ragged[s].codes.begin(), ragged[s].codes.end(), singles[s].codes.begin()), "ragged lengths",
               code.name);
        for (int from = 0; from < n;) {
            int count = std::min(between(1, 25), n - from);
            engine->run({chunked[s].stream(uniforms[s], from, count)}, {}, 1);
            from += count;
            chunked[s].state = std::vector<uint64_t>(chunked[s].state);  // a stored copy goes on as well
        }
        expect(chunked[s].codes == singles[s].codes, "chunks equal wholes", code.name);
        Player paired(*engine), alternating(*engine);
        for (int from = 0; from < n; from += 20) engine->run_pair(paired.stream(uniforms[s], from, 20), {}, 1e9, 0);
        for (int from = 0; from < n; from += 20) engine->run({alternating.stream(uniforms[s], from, 20)}, {}, 2);
        expect(alternating.codes == singles[s].codes && alternating.logits == singles[s].logits, "now one, now two",
               code.name);
        Player hurried(*engine);
        for (int64_t from = 0; from < n;) from += engine->run_pair(hurried.stream(uniforms[s], from, n - from), {}, 0, -1);
        expect(hurried.codes == singles[s].codes && hurried.logits == singles[s].logits, "pairs that end early", code.name);
        expect(paired.codes == singles[s].codes && paired.bits == singles[s].bits, "two threads equal one", code.name);
        expect(paired.logits == singles[s].logits, "two threads' logits equal one's", code.name);
    }
    if (precision == 0) {
        std::vector<double> expected = plain(net, singles[0].codes, {});
        double worst = 0;
        for (int i = 0; i < net.outputs(); i++) worst = std::max(worst, std::fabs(expected[i] - double(singles[0].logits[i])));
        expect(worst < 1e-4, "logits equal the plain computation's", code.name);

        std::vector<float> conditions(size_t(n) * net.layers.size() * 2 * net.gate);
        for (float& value : conditions) value = unit();
        std::vector<int64_t> order = engine->condition_order();
        std::vector<float> ordered;
        std::vector<int32_t> rows;
        for (int t = n - 1; t >= 0; t--) {  // rows lie in any order
            for (int64_t channel : order)
                ordered.push_back(channel < 0 ? 0 : conditions[size_t(t) * net.layers.size() * 2 * net.gate + channel]);
            rows.push_back(t);
        }
        Player conditioned(*engine);
        engine->run({conditioned.stream(uniforms[0], 0, n, ordered, rows)}, {}, 1);
        expected = plain(net, conditioned.codes, conditions);
        worst = 0;
        for (int i = 0; i < net.outputs(); i++) worst = std::max(worst, std::fabs(expected[i] - double(conditioned.logits[i])));
        expect(worst < 1e-4, "conditions are added", code.name);
    }

    // twins that are told the same lead nowhere, whatever the guidance, also where pairs end at different times
    std::vector<Player> told(streams, Player(*engine)), twins = told;
    std::vector<Stream> pairs;
    for (int s = 0; s < streams && !net.mixtures; s++) {
        Stream stream = told[s].stream(uniforms[s], 0, s % 2 ? n : n / 2);
        stream.without = twins[s].logits.data();
        Stream twin = twins[s].stream(uniforms[s], 0, stream.samples);
        twin.codes = stream.codes, twin.uniforms = nullptr, twin.bits = nullptr;
        pairs.push_back(stream), pairs.push_back(twin);
    }
    engine->run(pairs, {1, 0, 1, 1.5}, between(1, 3));
    for (int s = 0; s < streams && !net.mixtures; s++) {
        expect(std::equal(told[s].codes.begin(), told[s].codes.end(), singles[s].codes.begin()), "guided", code.name);
        expect(told[s].logits == twins[s].logits, "twins hear the same", code.name);
    }

    // the same codes through plain C++: sums of whole numbers are the same, the gate differs in its last bits
    std::unique_ptr<Engine> reference = available().back().make_engine(net);
    Player other(*reference);
    other.codes = singles[0].codes;
    other.bits.resize(n);
    reference->run({{reinterpret_cast<uint8_t*>(other.state.data()), other.logits.data(), other.codes.data(), nullptr,
                     other.bits.data(), nullptr, n}}, {}, 1);
    for (int i = 0; i < net.outputs(); i++) {
        float off = std::fabs(other.logits[i] - singles[0].logits[i]);
        expect(off < (precision == 0 ? 1e-4f : 0.05f), "logits equal plain C++'s", code.name);
    }

    std::vector<double> many(2000, 0.5);
    Player player(*engine);
    long counts[2];
    for (int i = 0; i < 2; i++) {
        std::vector<Stream> one{player.stream(many, 0, i ? 2000 : 2)};
        long before = allocations;
        engine->run(one, {}, 1);
        counts[i] = allocations - before;
    }
    expect(counts[0] == counts[1], "steps allocate nothing", code.name);
}

/// Altered files are refused, or load as something that runs in bounded memory; never anything else.
void fuzz(const Code& code) {
    constexpr uint32_t edges[] = {0, 1, 255, 4096, 65535, 65536, 1 << 22, 0x7F800000, 0x7FC00000, 0x7F7FFFFF, ~0u};
    Example example(uint32_t(between(0, 2)));
    std::vector<uint8_t> good = example.bytes;
    for (int round = 0; round < 200; round++) {
        example.bytes = good;
        bool resealed = between(0, 1);
        if (resealed) example.bytes.resize(good.size() - 4);
        if (between(0, 3) == 0) example.bytes.resize(rng() % example.bytes.size());
        int changes = between(resealed ? 0 : 1, 3);
        for (int i = 0; i < changes && !example.bytes.empty(); i++) {
            size_t range = between(0, 1) ? std::min<size_t>(80, example.bytes.size()) : example.bytes.size();
            size_t at = rng() % range;
            example.bytes[at] = uint8_t(rng());
            if (between(0, 1) && at / 4 * 4 + 4 <= range) std::memcpy(&example.bytes[at / 4 * 4], &edges[rng() % 11], 4);
        }
        if (resealed) example.seal();
        if (example.bytes == good) continue;
        try {
            Network net = Network::parse(example.bytes.data(), example.bytes.size());
            expect(resealed, "an altered file is refused", code.name);
            size_t before = allocated;
            std::unique_ptr<Engine> engine = code.make_engine(net);
            expect(allocated - before < 1000 * example.bytes.size(), "memory follows the file's size", code.name);
            expect(engine->state_bytes() < (1 << 30) + (1 << 20), "the state is bounded", code.name);
            if (engine->state_bytes() > (64 << 20)) continue;
            Player player(*engine);
            Sampling some{1, net.mixtures ? 0 : between(0, 9), 1, 1};
            std::vector<double> uniforms(20, 0.5);
            engine->run({player.stream(uniforms, 0, 20)}, some, 1);
            for (uint16_t drawn : player.codes) expect(net.mixtures || drawn < CODES, "drawn codes are codes", code.name);
        } catch (const FormatError&) {
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    int rounds = count > 1 ? std::atoi(arguments[1]) : 20;
    rng.seed(count > 2 ? unsigned(std::atoi(arguments[2])) : 0);
    for (int round = 0; round < rounds; round++)
        for (const Code& code : available()) {
            for (uint32_t precision = 0; precision < 3; precision++) check(code, precision);
            fuzz(code);
        }
    std::printf("%d rounds on", rounds);
    for (const Code& code : available()) std::printf(" %s", code.name);
    std::printf(": %d failures\n", failures);
    return failures != 0;
}
