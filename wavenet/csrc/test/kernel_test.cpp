// Tests of the kernels without Python, so that sanitizers can watch them. They compare random shapes with a plain
// computation, many streams with single ones, chunks with wholes, and two threads with one; and try altered files.
//
//     kernel_test [rounds=20] [seed=0]

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "../dispatch.h"
#include "example.h"
#include "plain.h"

static std::atomic<long> allocations{0};
static std::atomic<size_t> allocated{0};  // bytes since the start

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

int failures = 0;

void expect(bool holds, const char* what, const char* where) {
    if (holds) return;
    failures++;
    std::printf("FAILED %s (%s)\n", what, where);
}

/// A stream with memory of its own.
struct Player {
    const Engine& engine;
    std::vector<uint64_t> state;
    std::vector<float> logits;
    std::vector<uint16_t> codes;
    std::vector<float> bits;

    explicit Player(const Engine& engine) : engine(engine), state(engine.state_bytes() / 8 + 1), logits(engine.outputs) {
        engine.start(reinterpret_cast<uint8_t*>(state.data()), logits.data(), nullptr);
    }

    /// `rows` are of all samples from the first on, or one for all.
    Stream stream(const std::vector<double>& uniforms, int64_t from, int64_t count, const std::vector<float>& rows = {}) {
        const int64_t stride = int64_t(rows.size()) > engine.condition_channels ? engine.condition_channels : 0;
        if (int64_t(codes.size()) < from + count) codes.resize(from + count), bits.resize(from + count);
        return {reinterpret_cast<uint8_t*>(state.data()), logits.data(), codes.data() + from, uniforms.data() + from,
                bits.data() + from, rows.empty() ? nullptr : rows.data() + from * stride, count, stride};
    }
};

constexpr int SAMPLES = 60;

/// A random network on one instruction set, and the draws of single streams, with which everything else is compared.
struct Trial {
    const Code& code;
    Example example;
    Network net;
    std::unique_ptr<Engine> engine;
    int streams = between(1, 14);
    std::vector<std::vector<double>> uniforms;
    std::vector<std::vector<float>> rows;  // of each stream: changing, held for some samples, or one for all
    std::vector<Player> singles;

    Trial(const Code& code, uint32_t precision)
        : code(code), example(precision), net(Network::parse(example.bytes.data(), example.bytes.size())),
          engine(conditioned(code, net)), uniforms(streams, std::vector<double>(SAMPLES)), rows(streams),
          singles(streams, Player(*engine)) {
        for (auto& row : uniforms)
            for (double& u : row) u = double(rng()) / 4294967296.0;
        for (int s = 0; s < streams; s++) engine->run({singles[s].stream(uniforms[s], 0, SAMPLES)}, {}, 1);
        for (std::vector<float>& told : rows) {
            const int hold = between(0, 1) ? 1 : between(2, 9), count = between(0, 4) ? SAMPLES : 1;
            for (int t = 0; t < count; t++)
                for (int64_t c = 0; c < net.condition_channels; c++)
                    told.push_back(t % hold ? told[size_t(told.size() - net.condition_channels)] : unit());
        }
    }

    /// The engine of this network, with random projections of rows.
    static std::unique_ptr<Engine> conditioned(const Code& code, Network& net) {
        const int channels = between(1, 40);
        const int64_t rows = int64_t(net.layers.size()) * 2 * net.gate;
        std::vector<float> weights(size_t(rows * channels));
        for (float& weight : weights) weight = unit() / std::sqrt(float(channels));
        net.condition_on(weights.data(), rows, channels);
        return code.make_engine(net);
    }

    void expect_same(const Player& player, int s, const char* what) const {
        const Player& single = singles[s];
        bool same = player.codes == single.codes && player.bits == single.bits && player.logits == single.logits;
        expect(same, what, code.name);
    }

    void expect_near(const std::vector<double>& expected, const Player& player, const char* what) const {
        double worst = 0;
        for (size_t i = 0; i < expected.size(); i++)
            worst = std::max(worst, std::fabs(expected[i] - double(player.logits[i])));
        expect(worst < 1e-4, what, code.name);
    }
};

/// Streams that share a batch draw what they draw alone, even if they end at different times.
void check_batches(const Trial& trial) {
    std::vector<Player> together(trial.streams, Player(*trial.engine)), ragged = together;
    std::vector<Stream> all, some;
    for (int s = 0; s < trial.streams; s++) {
        all.push_back(together[s].stream(trial.uniforms[s], 0, SAMPLES));
        some.push_back(ragged[s].stream(trial.uniforms[s], 0, between(0, SAMPLES)));
    }
    trial.engine->run(all, {}, between(1, 3));
    trial.engine->run(some, {}, between(1, 3));
    for (int s = 0; s < trial.streams; s++) {
        trial.expect_same(together[s], s, "streams together equal singles");
        bool begins = std::equal(ragged[s].codes.begin(), ragged[s].codes.end(), trial.singles[s].codes.begin());
        expect(begins, "ragged lengths", trial.code.name);
    }
}

/// A stream that runs in chunks, or is resumed from a copy of its state, draws what it draws in one run.
void check_chunks(const Trial& trial) {
    for (int s = 0; s < trial.streams; s++) {
        Player chunked(*trial.engine);
        for (int from = 0; from < SAMPLES;) {
            int count = std::min(between(1, 25), SAMPLES - from);
            trial.engine->run({chunked.stream(trial.uniforms[s], from, count)}, {}, 1);
            from += count;
            chunked.state = std::vector<uint64_t>(chunked.state);
        }
        trial.expect_same(chunked, s, "chunks equal wholes");
    }
}

/// A stream on two threads draws what it draws on one, even if pairs end early.
void check_pairs(const Trial& trial) {
    const Engine& engine = *trial.engine;
    for (int s = 0; s < trial.streams; s++) {
        const std::vector<double>& uniforms = trial.uniforms[s];
        Player paired(engine), alternating(engine), hurried(engine);
        for (int from = 0; from < SAMPLES; from += 20) {
            engine.run_pair(paired.stream(uniforms, from, 20), {}, 1e9, 0);
            engine.run({alternating.stream(uniforms, from, 20)}, {}, 2);
        }
        for (int64_t from = 0; from < SAMPLES;)
            from += engine.run_pair(hurried.stream(uniforms, from, SAMPLES - from), {}, 0, -1);
        trial.expect_same(paired, s, "two threads equal one");
        trial.expect_same(alternating, s, "now one thread, now two");
        trial.expect_same(hurried, s, "pairs that end early");
    }
}

/// Logits in float32 are those of the equations, without conditions and with them.
void check_equations(const Trial& trial) {
    const Network& net = trial.net;
    trial.expect_near(plain(net, trial.singles[0].codes, {}), trial.singles[0], "logits equal the plain computation's");

    Player conditioned(*trial.engine);
    const std::vector<float>& rows = trial.rows[0];
    trial.engine->run({conditioned.stream(trial.uniforms[0], 0, SAMPLES, rows)}, {}, 1);
    const size_t width = net.layers.size() * 2 * net.gate, channels = size_t(net.condition_channels);
    std::vector<float> added(SAMPLES * width);
    for (size_t i = 0; i < added.size(); i++)
        for (size_t c = 0; c < channels; c++)
            added[i] += net.condition[i % width * channels + c] * rows[i / width * channels % rows.size() + c];
    trial.expect_near(plain(net, conditioned.codes, added), conditioned, "conditions are added");
}

/// Streams with rows draw together, in chunks and on two threads what they draw alone.
void check_rows(const Trial& trial) {
    const Engine& engine = *trial.engine;
    std::vector<Player> alone(trial.streams, Player(engine)), together = alone, chunked = alone, paired = alone;
    std::vector<Stream> all;
    for (int s = 0; s < trial.streams; s++) {
        auto stream = [&](Player& player, int64_t from, int64_t count) {
            return player.stream(trial.uniforms[s], from, count, trial.rows[s]);
        };
        engine.run({stream(alone[s], 0, SAMPLES)}, {}, 1);
        all.push_back(stream(together[s], 0, SAMPLES));
        for (int64_t from = 0, count; from < SAMPLES; from += count) {
            count = std::min(between(1, 25), SAMPLES - int(from));
            engine.run({stream(chunked[s], from, count)}, {}, 1);
        }
        for (int64_t from = 0; from < SAMPLES;)
            from += engine.run_pair(stream(paired[s], from, SAMPLES - from), {}, 0, -1);
    }
    engine.run(all, {}, between(1, 3));
    for (int s = 0; s < trial.streams; s++) {
        auto same = [&](const Player& player) { return player.codes == alone[s].codes && player.logits == alone[s].logits; };
        expect(same(together[s]), "streams with rows together equal singles", trial.code.name);
        expect(same(chunked[s]), "chunks with rows equal wholes", trial.code.name);
        expect(same(paired[s]), "rows on two threads equal one", trial.code.name);
    }
}

/// A file's labels and table are those that were written, and weights of 0 are no labels.
void check_labels(const Trial& trial) {
    const Example& example = trial.example;
    const Network net = Network::parse(example.bytes.data(), example.bytes.size());
    expect(net.condition == example.table, "the table of labels", trial.code.name);
    const std::unique_ptr<Engine> engine = trial.code.make_engine(net);
    bool same = engine->labels.size() == example.labels.size() && engine->condition_channels == int64_t(example.labels.size());
    for (size_t i = 0; same && i < example.labels.size(); i++)
        same = engine->labels[i].label == example.labels[i].label && engine->labels[i].value == example.labels[i].value;
    expect(same, "the names of labels", trial.code.name);
    Player player(*engine);
    const std::vector<float> weights(example.labels.size());
    engine->run({player.stream(trial.uniforms[0], 0, SAMPLES, weights)}, {}, 1);
    trial.expect_same(player, 0, "weights of 0 are no labels");
}

/// Twins under the same conditions change nothing, whatever the guidance, even if pairs end at different times.
void check_guidance(const Trial& trial) {
    std::vector<Player> guided(trial.streams, Player(*trial.engine)), twins = guided;
    std::vector<Stream> pairs;
    for (int s = 0; s < trial.streams; s++) {
        Stream stream = guided[s].stream(trial.uniforms[s], 0, s % 2 ? SAMPLES : SAMPLES / 2);
        stream.without = twins[s].logits.data();
        Stream twin = twins[s].stream(trial.uniforms[s], 0, stream.samples);
        twin.codes = stream.codes, twin.uniforms = nullptr, twin.bits = nullptr;
        pairs.push_back(stream), pairs.push_back(twin);
    }
    trial.engine->run(pairs, {1, 0, 1, 1.5}, between(1, 3));
    for (int s = 0; s < trial.streams; s++) {
        bool begins = std::equal(guided[s].codes.begin(), guided[s].codes.end(), trial.singles[s].codes.begin());
        expect(begins, "guided", trial.code.name);
        expect(guided[s].logits == twins[s].logits, "twins hear the same", trial.code.name);
    }
}

/// Plain C++ gives the same logits: sums of whole numbers are equal, and the gate differs only in its last bits.
void check_against_portable(const Trial& trial) {
    std::unique_ptr<Engine> portable = available().back().make_engine(trial.net);
    Player player(*portable);
    player.codes = trial.singles[0].codes;
    player.bits.resize(SAMPLES);
    portable->run({{reinterpret_cast<uint8_t*>(player.state.data()), player.logits.data(), player.codes.data(), nullptr,
                    player.bits.data(), nullptr, SAMPLES}}, {}, 1);
    const float most = trial.net.precision == Precision::float32 ? 1e-4f : 0.05f;
    for (int i = 0; i < trial.net.outputs(); i++) {
        float off = std::fabs(player.logits[i] - trial.singles[0].logits[i]);
        expect(off < most, "logits equal plain C++'s", trial.code.name);
    }
}

void check_allocations(const Trial& trial) {
    const std::vector<double> uniforms(2000, 0.5);
    Player player(*trial.engine);
    long counts[2];
    for (int i = 0; i < 2; i++) {
        std::vector<Stream> one{player.stream(uniforms, 0, i ? 2000 : 2)};
        long before = allocations;
        trial.engine->run(one, {}, 1);
        counts[i] = allocations - before;
    }
    expect(counts[0] == counts[1], "steps allocate nothing", trial.code.name);
}

void check(const Code& code, uint32_t precision) {
    Trial trial(code, precision);
    check_batches(trial);
    check_chunks(trial);
    check_pairs(trial);
    if (trial.net.precision == Precision::float32) check_equations(trial);
    check_rows(trial);
    check_labels(trial);
    if (!trial.net.mixtures) check_guidance(trial);
    check_against_portable(trial);
    check_allocations(trial);
}

/// Altered files are either refused, or load and run in bounded memory.
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
