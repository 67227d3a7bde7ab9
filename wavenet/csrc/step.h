// One sample of every stream of a batch, from its code to the logits of the next:
//
//     x     = sum over the last codes of their rows of the initial table, interpolated between two for 16-bit codes
//     h_l   = W_past x_l[t - d] + W_now x_l[t] + b          z_l = tanh(filter half) * sigmoid(gate half)
//     x_l+1 = x_l + R z_l + r
//     logits = A2 relu(A1 relu(S [z_1 ... z_L] + s) + a1) + a2
//
// All streams of a batch share each read of the weights. A layer's products with its past do not depend on this sample,
// so they come before the layer below is done. The skip sum is one product over all layers' z at the end.

#pragma once

#include "conditions.h"
#include "dense.h"
#include "draw.h"
#include "engine.h"
#include "state.h"

namespace wavenet::ISA {

template <class Weight>
class Step {
    using In = Input<Weight>;
    using Sums = Sum<Weight>;

  public:
    /// Allocates buffers for `streams` streams. With `every_layer`, they hold the past sums of all layers at once.
    Step(const PackedNetwork<Weight>& net, const StateLayout<Weight>& layout, int streams, bool every_layer = false)
        : net(net), layout(layout), layer_stride(every_layer ? streams * net.h_length : 0), x(streams * net.x_length),
          x_input(streams * net.x_length), past_sums(streams * net.h_length * (every_layer ? net.layers.size() : 1)),
          z(streams * net.z_all), skip(streams * net.skip_length), hidden(streams * net.head_length), told(net, streams) {}

    size_t layers() const { return net.layers.size(); }

    /// Sample t of every stream.
    void run(Stream* streams, int count, int64_t t, const Sampling& sampling) {
        for (int s = 0; s < count; s++) attach(s, streams[s].state);
        prefetch(1, count);
        past(0, count);
        tell(streams, count, t);
        for (int s = 0; s < count; s++) begin(streams[s], s, t, sampling);
        for (size_t l = 0; l < layers(); l++) {
            prefetch(l + 2, count);
            gate(l, count);
            if (l + 1 == layers()) break;
            past(l + 1, count);
            residual(l, count);
        }
        prefetch(0, count);
        bool wanted = false;
        for (int s = 0; s < count; s++) wanted |= needs_logits(streams[s], t);
        if (wanted) head(streams, count);
    }

    /// Makes stream s continue from this state.
    void attach(int s, uint8_t* state) { states[s] = state; }

    /// Gets ready what the streams' rows of sample t add to h.
    void tell(const Stream* streams, int count, int64_t t) { told.prepare(streams, count, t); }

    /// Feeds a code to the first layer of stream s.
    void begin(const Stream& stream, int s, uint16_t code) {
        conditions[s] = told.of(stream);
        embed(s, code);
    }

    /// Draws sample t's code, or takes the given one, and feeds it to the first layer.
    void begin(Stream& stream, int s, int64_t t, const Sampling& sampling) {
        float* bits = stream.bits ? stream.bits + t : nullptr;
        if (stream.uniforms) {
            float guided[CODES];
            const float* logits = stream.without ? lead(stream, sampling, guided) : stream.logits;
            float* drawn = stream.without ? nullptr : bits;
            stream.codes[t] = uint16_t(net.mixtures
                                           ? draw(Mixture{logits, net.mixtures}, stream.uniforms[t], sampling, drawn)
                                           : draw(logits, stream.uniforms[t], sampling, drawn));
        }
        if (bits && (stream.without || !stream.uniforms)) {  // under the model's own distribution, not the guided one
            *bits = float(net.mixtures ? Mixture{stream.logits, net.mixtures}.bits(stream.codes[t])
                                       : Softmax(stream.logits, 1).bits(stream.logits, stream.codes[t]));
        }
        begin(stream, s, stream.codes[t]);
    }

    /// Whether the logits after sample t are needed: the output layers run only then.
    static bool needs_logits(const Stream& stream, int64_t t) {
        return stream.uniforms || stream.bits || t + 1 == stream.samples;
    }

    /// Stream s's input to the next layer, (x_length).
    In* x_in(int s) { return x_input.data + s * net.x_length; }

    /// The part of h that does not depend on this sample: sums over the layer's past taps, kept for `gate`.
    void past(size_t l, int count) {
        const PackedLayer<Weight>& layer = net.layers[l];
        const int64_t groups = net.x_groups(), taps = net.kernel_size - 1;
        with_vectors(net.h_length / W, [&](int64_t block, auto v) __attribute__((always_inline)) {
            constexpr int V = decltype(v)::value;
            const uint32_t* weights = net.arena.data + layer.past.offset + block * W * layer.past.groups;
            with_streams(count, [&](int s, auto n) __attribute__((always_inline)) {
                constexpr int N = decltype(n)::value;
                Sums sums[N][V];
                clear(sums);
                for (int64_t k = 0; k < taps; k++) {
                    const uint32_t* inputs[N];
                    for (int i = 0; i < N; i++)
                        inputs[i] = reinterpret_cast<const uint32_t*>(layout.past_input(states[s + i], l, k));
                    multiply<Weight, V, N>(weights + k * groups * V * W, groups, inputs, sums);
                }
                for (int i = 0; i < N; i++)
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++)
                        std::memcpy(past_of(l, s + i, block + j), &sums[i][j], sizeof sums[i][j]);
            });
        });
    }

    /// z of one layer, stored beside those of all other layers.
    void gate(size_t l, int count) {
        bool conditioned = false;  // decided outside the loops, so that they stay fast without conditions
        for (int s = 0; s < count; s++) conditioned |= conditions[s] != nullptr;
        conditioned ? gate<true>(l, count) : gate<false>(l, count);
    }

    /// x += R z + r, which enters the layer above.
    void residual(size_t l, int count) {
        const Scale scale = net.layers[l + 1].x;
        product(
            net, net.layers[l].residual, count,
            [&](int s) { return z.data + s * net.z_all + int64_t(l) * net.z_length; },
            [&](int s, int64_t i, F32 v) { enter(s, i, load(x.data + s * net.x_length + i) + v, scale); });
        for (int s = 0; s < count; s++) layout.remember(states[s], l + 1, x_in(s));
    }

    static constexpr int HEAD_STAGES = 3;

    void head(Stream* streams, int count) {
        for (int stage = 0; stage < HEAD_STAGES; stage++) head_stage(streams, count, stage, 0, 1);
    }

    /// Skip sum, hidden or output layer: share number `share` of `shares` of its output vectors.
    void head_stage(Stream* streams, int count, int stage, int share, int shares) {
        auto relu = [](const Scale& scale, Buffer<In>& to, int64_t stride) {
            return [&scale, &to, stride](int s, int64_t i, F32 v) {
                quantise(to.data + s * stride + i, max(v, F32{}), scale);
            };
        };
        const Scale skip_in = net.skip_scale, hidden_in = net.hidden_scale;
        if (stage == 0)
            product(
                net, net.skip_sum, count, [&](int s) { return z.data + s * net.z_all; },
                relu(skip_in, skip, net.skip_length), share, shares);
        else if (stage == 1)
            product(
                net, net.hidden, count, [&](int s) { return skip.data + s * net.skip_length; },
                relu(hidden_in, hidden, net.head_length), share, shares);
        else
            product(
                net, net.output, count, [&](int s) { return hidden.data + s * net.head_length; },
                [&](int s, int64_t i, F32 v) {
                    std::memcpy(streams[s].logits + i, &v, size_t(std::min<int64_t>(W, net.outputs - i)) * sizeof(float));
                }, share, shares);
    }

  private:
    /// Logits moved away from those of the stream's twin, which has other conditions (classifier-free guidance).
    static const float* lead(const Stream& stream, const Sampling& sampling, float* guided) {
        for (int i = 0; i < CODES; i += W) {
            F32 without = load(stream.without + i);
            store(guided + i, without + float(sampling.guidance) * (load(stream.logits + i) - without));
        }
        return guided;
    }

    /// x of the first layer: the sum of a row of the initial table for each of the last codes.
    void embed(int s, uint16_t code) {
        layout.hear(states[s], code);
        const uint16_t* codes = layout.codes(states[s]);
        if (net.mixtures) {
            embed_between(s, codes);
        } else {
            for (int64_t i = 0; i < net.x_length; i += W) {
                F32 sum = load(net.initial.data + codes[0] * net.x_length + i);
                for (int64_t k = 1; k < net.taps; k++)
                    sum += load(net.initial.data + (k * CODES + codes[k]) * net.x_length + i);
                enter(s, i, sum, net.layers[0].x);
            }
        }
        layout.remember(states[s], 0, x_in(s));
    }

    /// The same for 16-bit codes, each interpolated between two mu-law codes.
    void embed_between(int s, const uint16_t* codes) {
        float* sums = x.data + s * net.x_length;
        std::fill_n(sums, net.x_length, 0.0f);
        for (int64_t k = 0; k < net.taps; k++) {
            double place = (companded(codes[k]) + 1) / 2 * (CODES - 1);
            int64_t below = std::min(int64_t(place), int64_t(CODES - 2));
            F32 share = splat(float(place - double(below)));
            const float* row = net.initial.data + (k * CODES + below) * net.x_length;
            for (int64_t i = 0; i < net.x_length; i += W) {
                F32 low = load(row + i), high = load(row + net.x_length + i);
                store(sums + i, load(sums + i) + low + share * (high - low));
            }
        }
        for (int64_t i = 0; i < net.x_length; i += W) enter(s, i, load(sums + i), net.layers[0].x);
    }

    /// Stores channels i..i+W of x, and quantises them as input of the layer with this scale.
    void enter(int s, int64_t i, F32 v, const Scale& scale) {
        store(x.data + s * net.x_length + i, v);
        quantise(x_in(s) + i, v, scale);
    }

    /// Prefetches a layer's past inputs, which lie too far apart for the processor's own prefetching.
    void prefetch(size_t l, int count) const {
        if (l >= layers()) return;
        for (int s = 0; s < count; s++)
            for (int64_t k = 0; k < net.kernel_size - 1; k++)
                for (int64_t i = 0; i < net.x_length; i += 64 / int64_t(sizeof(In)))
                    __builtin_prefetch(layout.past_input(states[s], l, k) + i);
    }

    template <bool CONDITIONED>
    void gate(size_t l, int count) {
        const PackedLayer<Weight>& layer = net.layers[l];
        const Scale scale = net.z_scale;
        with_vectors(net.h_length / W, [&](int64_t block, auto v) __attribute__((always_inline)) {
            constexpr int V = decltype(v)::value, H = V > 1 ? V / 2 : 1;
            const uint32_t* weights = net.arena.data + layer.now.offset + block * W * layer.now.groups;
            const Lanes lanes = lanes_of(net, layer.h, block);
            with_streams(count, [&](int s, auto n) __attribute__((always_inline)) {
                constexpr int N = decltype(n)::value;
                Sums sums[N][V];
                const uint32_t* inputs[N];
#pragma GCC unroll 3
                for (int i = 0; i < N; i++) {
                    const uint32_t* before = past_of(l, s + i, block);
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++) std::memcpy(&sums[i][j], before + j * W, sizeof sums[i][j]);
                    inputs[i] = reinterpret_cast<const uint32_t*>(x_in(s + i));
                }
                multiply<Weight, V, N>(weights, layer.now.groups, inputs, sums);
                for (int i = 0; i < N; i++) {
                    In* to = z.data + (s + i) * net.z_all + int64_t(l) * net.z_length + block / 2 * W;
                    F32 h[V];
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++) h[j] = value<Weight>(sums[i][j], lanes, j);
                    if (const float* row = CONDITIONED ? conditions[s + i] : nullptr) {
                        row += int64_t(l) * net.h_length + block * W;
#pragma GCC unroll 8
                        for (int j = 0; j < V; j++) h[j] += load(row + j * W);
                    }
#pragma GCC unroll 4
                    for (int j = 0; j < H; j++) quantise(to + j * W, gated<Weight>(h[j], h[j + V / 2]), scale);
                }
            });
        });
    }

    uint32_t* past_of(size_t l, int s, int64_t block) {
        return past_sums.data + int64_t(l) * layer_stride + s * net.h_length + block * W;
    }

    const PackedNetwork<Weight>& net;
    const StateLayout<Weight>& layout;
    const int64_t layer_stride;  // between two layers' past sums; 0 if they share one buffer
    uint8_t* states[Engine::BATCH];
    const float* conditions[Engine::BATCH] = {};
    Buffer<float> x;  // the residual stream, (streams, x_length)
    Buffer<In> x_input;
    Buffer<uint32_t> past_sums;
    Buffer<In> z, skip, hidden;
    Conditions<Weight> told;
};

}  // namespace wavenet::ISA
