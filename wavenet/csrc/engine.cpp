// The engine of one instruction set, compiled once for each. From the bottom up: packing.h lays out the weights and
// state.h what a stream remembers, dense.h multiplies,
// conditions.h projects rows of conditioning, step.h computes a sample, and pair.h computes a stream's samples on two threads.

#include "engine.h"

#include <algorithm>

#include "packing.h"
#include "state.h"
#include "step.h"
#if !defined(__wasm__)
#include "pair.h"
#endif

namespace wavenet::ISA {

template <class Weight>
class Kernel final : public Engine {
  public:
    explicit Kernel(const Network& network) : Engine(network), net(network), layout(network) {}

    size_t state_bytes() const override { return size_t(layout.size()); }
    size_t weight_bytes() const override { return size_t(net.arena.size) * 4; }

    void start(uint8_t* state, float* logits, const float* row) const override {
        const uint16_t silence = mixtures ? STEPS : ZERO;
        Step<Weight> step(net, layout, 1);
        step.attach(0, state);
        layout.reset(state, silence);
        Stream stream{state, logits, nullptr, nullptr, nullptr, row, 1};
        step.tell(&stream, 1, 0);
        step.begin(stream, 0, silence);
        for (size_t l = 0; l < net.layers.size(); l++) {
            layout.fill_inputs(state, l, step.x_in(0));
            step.past(l, 1);
            step.gate(l, 1);
            if (l + 1 < net.layers.size()) step.residual(l, 1);
        }
        step.head(&stream, 1);
    }

    int64_t run_pair(Stream stream, const Sampling& sampling, double each, double besides) const override {
#if defined(__wasm__)  // which has one thread
        return (void)stream, (void)sampling, (void)each, (void)besides, 0;
#else
        return Pair<Weight>(net, layout, stream, sampling).run(each, besides);
#endif
    }

    uint64_t read_weights() const override {
        U32 seen[8] = {};
        const uint32_t* end = net.arena.data + net.arena.size / (8 * W) * (8 * W);
        for (const uint32_t* p = net.arena.data; p < end; p += 8 * W)
            for (int i = 0; i < 8; i++) {
                U32 w;
                std::memcpy(&w, p + i * W, sizeof w);
                seen[i] ^= w;
            }
        uint64_t all = 0;
        for (U32 lanes : seen)
            for (int i = 0; i < W; i++) all ^= lanes[i];
        return all;
    }

  protected:
    void run_batch(Stream* streams, int count, const Sampling& sampling) const override {
        Step<Weight> step(net, layout, count);
        Stream active[BATCH];
        std::copy(streams, streams + count, active);
        for (int s = 0; s < count; s++) active[s].place = s;
        for (int64_t t = 0; count > 0; t++) {
            // finished streams are removed; the others keep their order, with guided ones before their twins
            count = int(std::remove_if(active, active + count, [t](const Stream& s) { return s.samples <= t; }) - active);
            step.run(active, count, t, sampling);
        }
    }

  private:
    const PackedNetwork<Weight> net;
    const StateLayout<Weight> layout;
};

}  // namespace wavenet::ISA

#if defined(__AVX512BF16__)  // which only bfloat16 uses; the other precisions run the code of avx512
namespace wavenet::avx512 {
std::unique_ptr<Engine> make_engine(const Network&);
}
#endif

namespace wavenet::ISA {

std::unique_ptr<Engine> make_engine(const Network& net) {
#if defined(__AVX512BF16__)
    if (net.precision != Precision::bfloat16) return avx512::make_engine(net);
    return std::make_unique<Kernel<bf16>>(net);
#else
    switch (net.precision) {
        case Precision::float32: return std::make_unique<Kernel<float>>(net);
        case Precision::bfloat16: return std::make_unique<Kernel<bf16>>(net);
        default: return std::make_unique<Kernel<int8_t>>(net);
    }
#endif
}

}  // namespace wavenet::ISA
