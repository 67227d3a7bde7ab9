// WaveNet sample by sample. From a code to the logits of the next, per stream:
//
//     x     = sum over the last codes of a row of the initial table, or for 16-bit codes of what lies between two rows
//     h_l   = W_past x_l[t - d] + W_now x_l[t] + b          z_l = tanh(filter half) * sigmoid(gate half)
//     x_l+1 = x_l + R z_l + r
//     logits = A2 relu(A1 relu(S [z_1 ... z_L] + s) + a1) + a2
//
// What bounds the speed is reading every weight once a sample, so the weights lie in memory in the order of their use,
// and all streams of a batch share each read. A layer's products with its past need nothing of this sample, so they come
// before the layer below is done. The skip sum is one product over all z at the end: z is within [-1, 1], so one scale
// serves all layers.

#include "engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <new>
#include <thread>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "draw.h"
#include "products.h"

namespace wavenet::ISA {

namespace {

/// Zeroed memory, in big pages where there is much of it and the system has them: their lines spread evenly over a
/// second-level cache that the weights nearly fill, where small pages would collide.
template <class T>
struct Buffer {
    explicit Buffer(int64_t count = 0) : size(count) {
        size_t bytes = size_t(round_up(count * int64_t(sizeof(T)), align()));
        if (!count) return;
        data = static_cast<T*>(::operator new(bytes, std::align_val_t(align())));
#if defined(__linux__)
        if (align() == BIG_PAGE) madvise(data, bytes, MADV_HUGEPAGE);
#endif
        std::memset((void*)data, 0, bytes);
    }
    ~Buffer() {
        if (data) ::operator delete(data, std::align_val_t(align()));
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    int64_t align() const { return size * int64_t(sizeof(T)) >= BIG_PAGE / 8 ? BIG_PAGE : 64; }
    static constexpr int64_t BIG_PAGE = 2 << 20;
    T* data = nullptr;
    int64_t size;
};

/// Tells the processor that a loop only waits.
inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

constexpr double GRACE = 1e-4;  // seconds that a thread spins for the other, and that a pair may lose before it ends

/// Waits until the counter has come to the value: whether it came while the thread spun. The other thread has then lost
/// its core, or has only this one: sleeping gives it up, which spinning or yielding would not on a machine that is busy.
bool wait(const std::atomic<int64_t>& counter, int64_t value) {
    auto there = [&] { return counter.load(std::memory_order_acquire) >= value; };
    for (int i = 0; i < 64; i++, relax())
        if (there()) return true;
    for (const double until = seconds() + GRACE; seconds() < until;)
        for (int i = 0; i < 64; i++, relax())
            if (there()) return true;
    while (!there()) std::this_thread::sleep_for(std::chrono::microseconds(20));
    return false;
}

// ---- inputs: what a product of each precision reads

inline void quantise(float* to, F32 v, F32, F32) { store(to, v); }
inline void quantise(bf16* to, F32 v, F32, F32) { store(to, v); }
inline void quantise(uint8_t* to, F32 v, F32 inverse_scale, F32 zero) {
    F32 q = v * inverse_scale + zero;
#if defined(__AVX512F__)
    __m512i whole = _mm512_max_epi32(_mm512_cvtps_epi32((__m512)q), _mm512_setzero_si512());
    __m128i bytes = _mm512_cvtusepi32_epi8(whole);
#else
    typedef uint8_t U8 __attribute__((vector_size(W)));
    q = min(splat(255.0f), max(splat(0.0f), q));
    U8 bytes = __builtin_convertvector((U32)(q + 8388608.0f) & 255, U8);  // adding 2**23 rounds to a whole number
#endif
    std::memcpy(to, &bytes, W);
}

/// z = tanh(a) * sigmoid(b), in float32 to its precision, otherwise to 1e-4.
template <class Weight>
inline F32 gated(F32 a, F32 b) {
    if constexpr (std::is_same_v<Weight, float>) {
        F32 tanh_a, sigmoid_b;
        gate<float>(a, b, tanh_a, sigmoid_b);
        return tanh_a * sigmoid_b;
    } else {
        // tanh(x) = x p(x^2) / q(x^2) to 6e-5 (the coefficients of LPCNet), and sigmoid(b) = (1 + tanh(b / 2)) / 2
        auto numerator = [](F32 x, F32 xx) { return x * (952.52801514f + xx * (96.39235687f + xx * 0.60863042f)); };
        auto denominator = [](F32 xx) { return 952.72399902f + xx * (413.36801147f + xx * 11.88600922f); };
        auto clamp = [](F32 x) { return min(splat(9.0f), max(splat(-9.0f), x)); };
        a = clamp(a), b = clamp(b * 0.5f);
        F32 aa = a * a, bb = b * b, q_a = denominator(aa), q_b = denominator(bb);
        return numerator(a, aa) * (q_b + numerator(b, bb)) * reciprocal<bf16>(2.0f * q_a * q_b);
    }
}

/// Scale and zero of one product's inputs.
struct Scale {
    F32 inverse{}, zero{};
    Scale() = default;
    explicit Scale(const Matrix& m) : inverse(splat(1.0f / m.input_scale)), zero(splat(float(m.input_zero))) {}
};

}  // namespace

template <class Weight>
class Kernel final : public Engine {
    using In = Input<Weight>;
    using Sums = Sum<Weight>;

    /// Bias, and in int8 what one step of a sum is worth, per lane.
    struct Outputs {
        int64_t bias = 0, scale = 0;  // offsets among the constants
    };

    struct PackedLayer {
        Packed<Weight> past, now, residual;
        Outputs h, r;
        Scale x;
        int64_t dilation, context, ring;  // ring: where the state holds the layer's past inputs
    };

  public:
    explicit Kernel(const Network& net)
        : Engine(net), taps(net.initial_taps), kernel_size(net.kernel_size), channels(net.residual),
          gate_channels(net.gate), padded(round_up(net.residual, W)), gate_vectors(round_up(net.gate, W) / W),
          z_length(round_up(net.gate, W)), skip_length(round_up(net.skip, W)), head_length(round_up(net.head, W)) {
        plan(net);
        fill(net);
        lay_out_state();
    }

    size_t state_bytes() const override { return size_t(bytes_of_state); }
    size_t weight_bytes() const override { return size_t(arena->size) * 4; }

    std::vector<int64_t> condition_order() const override {
        std::vector<int64_t> order;
        for (size_t l = 0; l < layers.size(); l++)
            for (int64_t channel : filter_beside_gate(gate_channels))
                order.push_back(channel < 0 ? -1 : int64_t(l) * 2 * gate_channels + channel);
        return order;
    }

    uint64_t read_weights() const override {
        U32 seen[8] = {};
        const uint32_t* end = arena->data + arena->size / (8 * W) * (8 * W);
        for (const uint32_t* p = arena->data; p < end; p += 8 * W)
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

    void start(uint8_t* state, float* logits, const float* conditions) const override {
        Work work(*this, 1);
        int32_t* slots = this->slots(state);
        std::fill(slots, slots + layers.size(), 0);
        uint16_t code = mixtures ? STEPS : ZERO;
        std::fill_n(heard(state), taps, code);
        Stream stream{state, logits, &code, nullptr, nullptr, nullptr, 1};
        work.states[0] = state;
        work.conditions[0] = conditions;
        embed(work, 0, &code);
        for (size_t l = 0; l < layers.size(); l++) {
            const PackedLayer& layer = layers[l];
            slots[l] = 0;
            for (int64_t slot = 0; slot < layer.context; slot++)
                std::memcpy(ring(state, layer) + slot * padded, work.x_in(0), padded * sizeof(In));
            past(work, l, 1);
            gate(work, l, 1);
            if (l + 1 < layers.size()) residual(work, l, 1);
        }
        head(work, &stream, 1);
    }

  protected:
    void run_batch(Stream* streams, int count, const Sampling& sampling) const override {
        Work work(*this, count);
        Stream active[BATCH];
        std::copy(streams, streams + count, active);
        for (int64_t t = 0; count > 0; t++) {
            // those that are done leave; the others keep their order, in which guided ones come before their twins
            count = int(std::remove_if(active, active + count, [t](const Stream& s) { return s.samples <= t; }) - active);
            step(work, active, count, t, sampling);
        }
    }

    int64_t run_pair(Stream stream, const Sampling& sampling, double each, double besides) const override {
        // what each thread has finished, as a count that only grows: `events` of them a sample
        alignas(64) std::atomic<int64_t> first{0};
        alignas(64) std::atomic<int64_t> second{0};
        std::atomic<int64_t> end{stream.samples};  // the first thread's to bring nearer, between two samples
        const int64_t count = int64_t(layers.size()), events = count + 4;
        Work work(*this, 1, true);
        work.states[0] = stream.state;
        for (size_t l = 0; l < layers.size(); l++) past(work, l, 1);

        auto head_half = [&](int64_t t, int share, std::atomic<int64_t>& mine, const std::atomic<int64_t>& other) {
            bool at_once = true;
            for (int stage = 0; stage < 3; stage++) {
                if (stage > 0) at_once &= wait(other, t * events + count + 1 + stage);
                if (looked_at(stream, t)) head_stage(work, &stream, 1, stage, share, 2);
                mine.store(t * events + count + 2 + stage, std::memory_order_release);
            }
            return at_once;
        };
        std::thread helper([&] {
            for (int64_t t = 0; t < stream.samples; t++) {
                for (int64_t l = 0; l < count; l++) {
                    wait(first, t * events + l + 2);  // the layer has taken its sums and left its x
                    if (t >= end.load(std::memory_order_relaxed)) return;
                    past(work, size_t(l), 1);
                }
                head_half(t, 1, second, first);
            }
        });
        const double began = seconds();
        int64_t t = 0;
        while (t < stream.samples) {
            begin(work, stream, 0, t, sampling);
            first.store(t * events + 1, std::memory_order_release);
            for (int64_t l = 0; l < count; l++) {
                gate(work, size_t(l), 1);
                if (l + 1 < count) residual(work, size_t(l), 1);
                first.store(t * events + l + 2, std::memory_order_release);
            }
            bool at_once = head_half(t, 0, first, second);
            at_once &= wait(second, (t + 1) * events);
            t++;
            if ((!at_once || t % 16 == 0) && seconds() - began > double(t) * each + besides + GRACE) break;
        }
        if (t < stream.samples) {
            end.store(t, std::memory_order_relaxed);
            first.store((t + 1) * events, std::memory_order_release);
        }
        helper.join();
        return t;
    }

  private:
    /// What lies between the products of one sample, for every stream of a batch.
    struct Work {
        Work(const Kernel& k, int streams, bool every_layer = false)
            : kernel(k), layer_stride(every_layer ? k.h_length() : 0), x(streams * k.padded),
              x_input(streams * k.padded), pending(streams * k.h_length() * (every_layer ? k.layers.size() : 1)),
              z(streams * k.z_all()), skip(streams * k.skip_length), hidden(streams * k.head_length) {}
        const Kernel& kernel;
        const int64_t layer_stride;
        uint8_t* states[BATCH];
        const float* conditions[BATCH] = {};
        Buffer<float> x;
        Buffer<In> x_input;
        Buffer<uint32_t> pending;  // sums over the past of the layer that is next, or of every layer
        Buffer<In> z, skip, hidden;
        In* x_in(int s) { return x_input.data + s * kernel.padded; }
        uint32_t* past(size_t l, int s, int64_t block) {
            return pending.data + int64_t(l) * layer_stride + s * kernel.h_length() + block * W;
        }
    };

    int64_t h_length() const { return 2 * gate_vectors * W; }
    int64_t z_all() const { return int64_t(layers.size()) * z_length; }

    int32_t* slots(uint8_t* state) const { return reinterpret_cast<int32_t*>(state); }
    uint16_t* heard(uint8_t* state) const { return reinterpret_cast<uint16_t*>(state + heard_offset); }
    In* ring(uint8_t* state, const PackedLayer& layer) const { return reinterpret_cast<In*>(state + layer.ring); }

    /// One sample of every stream.
    void step(Work& work, Stream* streams, int count, int64_t t, const Sampling& sampling) const {
        for (int s = 0; s < count; s++) work.states[s] = streams[s].state;
        prefetch(work, 1, count);
        past(work, 0, count);
        for (int s = 0; s < count; s++) begin(work, streams[s], s, t, sampling);
        for (size_t l = 0; l < layers.size(); l++) {
            prefetch(work, l + 2, count);
            gate(work, l, count);
            if (l + 1 == layers.size()) break;
            past(work, l + 1, count);
            residual(work, l, count);
        }
        prefetch(work, 0, count);
        bool wanted = false;
        for (int s = 0; s < count; s++) wanted |= looked_at(streams[s], t);
        if (wanted) head(work, streams, count);
    }

    /// Draws sample t's code, or takes the given one, and brings it to the first layer.
    void begin(Work& work, Stream& stream, int s, int64_t t, const Sampling& sampling) const {
        float* bits = stream.bits ? stream.bits + t : nullptr;
        if (stream.uniforms) {
            float guided[CODES];
            const float* logits = stream.without ? lead(stream, sampling, guided) : stream.logits;
            float* drawn = stream.without ? nullptr : bits;
            stream.codes[t] = uint16_t(mixtures ? draw(Mixture{logits, mixtures}, stream.uniforms[t], sampling, drawn)
                                                : draw(logits, stream.uniforms[t], sampling, drawn));
        }
        if (bits && (stream.without || !stream.uniforms)) {  // under the model itself, not under what leads it away
            *bits = float(mixtures ? Mixture{stream.logits, mixtures}.bits(stream.codes[t])
                                   : Softmax(stream.logits, 1).bits(stream.logits, stream.codes[t]));
        }
        work.conditions[s] = stream.conditions;
        if (stream.rows) work.conditions[s] += stream.rows[t] * int64_t(layers.size()) * h_length();
        embed(work, s, stream.codes + t);
    }

    /// Logits led away from what they are without the stream's conditions (classifier-free guidance).
    static const float* lead(const Stream& stream, const Sampling& sampling, float* guided) {
        for (int i = 0; i < CODES; i += W) {
            F32 without = load(stream.without + i);
            store(guided + i, without + float(sampling.guidance) * (load(stream.logits + i) - without));
        }
        return guided;
    }

    /// Whether anybody will look at the logits after sample t: the output layers run only then.
    static bool looked_at(const Stream& stream, int64_t t) {
        return stream.uniforms || stream.bits || t + 1 == stream.samples;
    }

    /// x of the first layer: a row of the initial table for each of the last codes.
    void embed(Work& work, int s, const uint16_t* code) const {
        uint16_t* codes = heard(work.states[s]);
        if (taps > 1) std::memmove(codes, codes + 1, (taps - 1) * sizeof *codes);
        codes[taps - 1] = *code;
        if (mixtures) {
            embed_between(work, s, codes);
            return advance(work, 0, s);
        }
        for (int64_t i = 0; i < padded; i += W) {
            F32 x = load(initial->data + codes[0] * padded + i);
            for (int64_t k = 1; k < taps; k++) x += load(initial->data + (k * CODES + codes[k]) * padded + i);
            enter(work, 0, s, i, x);
        }
        advance(work, 0, s);
    }

    /// The same for 16-bit codes, each of which lies between two mu-law codes.
    void embed_between(Work& work, int s, const uint16_t* codes) const {
        float* x = work.x.data + s * padded;
        std::fill_n(x, padded, 0.0f);
        for (int64_t k = 0; k < taps; k++) {
            double place = (companded(codes[k]) + 1) / 2 * (CODES - 1);
            int64_t below = std::min(int64_t(place), int64_t(CODES - 2));
            F32 share = splat(float(place - double(below)));
            const float* row = initial->data + (k * CODES + below) * padded;
            for (int64_t i = 0; i < padded; i += W) {
                F32 low = load(row + i), high = load(row + padded + i);
                store(x + i, load(x + i) + low + share * (high - low));
            }
        }
        for (int64_t i = 0; i < padded; i += W) enter(work, 0, s, i, load(x + i));
    }

    /// Channels i..i+W of x enter layer l: as its products read them now, and in the place of the oldest in its ring.
    void enter(Work& work, size_t l, int s, int64_t i, F32 x) const {
        const PackedLayer& layer = layers[l];
        store(work.x.data + s * padded + i, x);
        quantise(work.x_in(s) + i, x, layer.x.inverse, layer.x.zero);
        if (!layer.context) return;
        In* kept = ring(work.states[s], layer) + slots(work.states[s])[l] * padded;
        quantise(kept + i, x, layer.x.inverse, layer.x.zero);
    }

    /// The next oldest becomes the oldest, once all channels have entered.
    void advance(Work& work, size_t l, int s) const {
        int32_t& slot = slots(work.states[s])[l];
        slot = slot + 1 >= layers[l].context ? 0 : slot + 1;
    }

    /// Calls for a layer's past inputs before they are needed: they lie too far apart for the processor to foresee.
    void prefetch(const Work& work, size_t l, int count) const {
        if (l >= layers.size()) return;
        for (int s = 0; s < count; s++)
            for (int64_t k = 0; k < kernel_size - 1; k++)
                for (int64_t i = 0; i < padded; i += 64 / int64_t(sizeof(In)))
                    __builtin_prefetch(past_input(work.states[s], layers[l], k) + i);
    }

    /// x[t - (kernel_size - 1 - k) dilation]
    In* past_input(uint8_t* state, const PackedLayer& layer, int64_t k) const {
        int64_t slot = slots(state)[&layer - layers.data()] + k * layer.dilation;
        return ring(state, layer) + (slot >= layer.context ? slot - layer.context : slot) * padded;
    }

    /// The part of h that needs nothing new: sums over the layer's past taps, kept for `gate`.
    void past(Work& work, size_t l, int count) const {
        const PackedLayer& layer = layers[l];
        const int64_t groups = padded_groups();
        with_vectors(2 * gate_vectors, [&](int64_t block, auto v) __attribute__((always_inline)) {
            constexpr int V = decltype(v)::value;
            const uint32_t* weights = arena->data + layer.past.offset + block * W * layer.past.groups;
            with_streams(count, [&](int s, auto n) __attribute__((always_inline)) {
                constexpr int N = decltype(n)::value;
                Sums sums[N][V];
                clear(sums);
                for (int64_t k = 0; k < kernel_size - 1; k++) {
                    const uint32_t* inputs[N];
                    for (int i = 0; i < N; i++)
                        inputs[i] = reinterpret_cast<const uint32_t*>(past_input(work.states[s + i], layer, k));
                    multiply<Weight, V, N>(weights + k * groups * V * W, groups, inputs, sums);
                }
                for (int i = 0; i < N; i++)
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++)
                        std::memcpy(work.past(l, s + i, block + j), &sums[i][j], sizeof sums[i][j]);
            });
        });
    }

    /// z of one layer, among all the others'.
    void gate(Work& work, size_t l, int count) const {
        bool conditioned = false;  // decided outside of the loops, where it would cost those that nothing conditions
        for (int s = 0; s < count; s++) conditioned |= work.conditions[s] != nullptr;
        conditioned ? gate<true>(work, l, count) : gate<false>(work, l, count);
    }

    template <bool CONDITIONED>
    void gate(Work& work, size_t l, int count) const {
        const PackedLayer& layer = layers[l];
        const Scale scale = z_scale;
        with_vectors(2 * gate_vectors, [&](int64_t block, auto v) __attribute__((always_inline)) {
            constexpr int V = decltype(v)::value, H = V > 1 ? V / 2 : 1;
            const uint32_t* weights = arena->data + layer.now.offset + block * W * layer.now.groups;
            const Lanes lanes = this->lanes(layer.h, block);
            with_streams(count, [&](int s, auto n) __attribute__((always_inline)) {
                constexpr int N = decltype(n)::value;
                Sums sums[N][V];
                const uint32_t* inputs[N];
#pragma GCC unroll 3
                for (int i = 0; i < N; i++) {
                    const uint32_t* before = work.past(l, s + i, block);
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++) std::memcpy(&sums[i][j], before + j * W, sizeof sums[i][j]);
                    inputs[i] = reinterpret_cast<const uint32_t*>(work.x_in(s + i));
                }
                multiply<Weight, V, N>(weights, layer.now.groups, inputs, sums);
                for (int i = 0; i < N; i++) {
                    In* z = work.z.data + (s + i) * z_all() + int64_t(l) * z_length + block / 2 * W;
                    F32 h[V];
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++) h[j] = value(sums[i][j], lanes, j);
                    if (const float* row = CONDITIONED ? work.conditions[s + i] : nullptr) {
                        row += int64_t(l) * h_length() + block * W;
#pragma GCC unroll 8
                        for (int j = 0; j < V; j++) h[j] += load(row + j * W);
                    }
#pragma GCC unroll 4
                    for (int j = 0; j < H; j++)
                        quantise(z + j * W, gated<Weight>(h[j], h[j + V / 2]), scale.inverse, scale.zero);
                }
            });
        });
    }

    /// x += R z + r, which enters the layer above.
    void residual(Work& work, size_t l, int count) const {
        product(
            layers[l].residual, layers[l].r, count,
            [&](int s) { return work.z.data + s * z_all() + int64_t(l) * z_length; },
            [&](int s, int64_t i, F32 v) { enter(work, l + 1, s, i, load(work.x.data + s * padded + i) + v); });
        for (int s = 0; s < count; s++) advance(work, l + 1, s);
    }

    void head(Work& work, Stream* streams, int count) const {
        for (int stage = 0; stage < 3; stage++) head_stage(work, streams, count, stage, 0, 1);
    }

    /// Skip sum, hidden or output layer; of its output vectors, the share of one of `shares`.
    void head_stage(Work& work, Stream* streams, int count, int stage, int share, int shares) const {
        auto relu = [](const Scale& scale, Buffer<In>& to, int64_t stride) {
            return [&scale, &to, stride](int s, int64_t i, F32 v) {
                quantise(to.data + s * stride + i, max(v, F32{}), scale.inverse, scale.zero);
            };
        };
        const Scale skip_in = skip_scale, hidden_in = hidden_scale;
        if (stage == 0)
            product(
                skip_sum, skip_outputs, count, [&](int s) { return work.z.data + s * z_all(); },
                relu(skip_in, work.skip, skip_length), share, shares);
        else if (stage == 1)
            product(
                hidden, hidden_outputs, count, [&](int s) { return work.skip.data + s * skip_length; },
                relu(hidden_in, work.hidden, head_length), share, shares);
        else
            product(
                output, output_outputs, count, [&](int s) { return work.hidden.data + s * head_length; },
                [&](int s, int64_t i, F32 v) {
                    std::memcpy(streams[s].logits + i, &v, size_t(std::min<int64_t>(W, outputs - i)) * sizeof(float));
                }, share, shares);
    }

    /// take(s, i, outputs i..i+W of stream s) of a matrix, or of a share of its blocks.
    template <class From, class Take>
    void product(const Packed<Weight>& m, const Outputs& outputs, int count, From from, Take take, int share = 0,
                 int shares = 1) const {
        auto cut = [&](int64_t at) { return std::min(round_up(m.vectors * at / shares, VECTORS), m.vectors); };
        const int64_t begin = cut(share), end = cut(share + 1);
        with_vectors(end - begin, [&](int64_t offset, auto v) __attribute__((always_inline)) {
            constexpr int V = decltype(v)::value;
            const int64_t block = begin + offset;
            const uint32_t* weights = arena->data + m.offset + block * W * m.groups;
            const Lanes lane = this->lanes(outputs, block);
            with_streams(count, [&](int s, auto n) __attribute__((always_inline)) {
                constexpr int N = decltype(n)::value;
                Sums sums[N][V];
                clear(sums);
                const uint32_t* inputs[N];
                for (int i = 0; i < N; i++) inputs[i] = reinterpret_cast<const uint32_t*>(from(s + i));
                multiply<Weight, V, N>(weights, m.groups, inputs, sums);
                for (int i = 0; i < N; i++)
#pragma GCC unroll 8
                    for (int j = 0; j < V; j++) take(s + i, (block + j) * W, value(sums[i][j], lane, j));
            });
        });
    }

    /// Where the bias and scale of a block's lanes lie.
    struct Lanes {
        const float *bias, *scale;
    };

    Lanes lanes(const Outputs& outputs, int64_t block) const {
        return {constants->data + outputs.bias + block * W, constants->data + outputs.scale + block * W};
    }

    static F32 value(Sums sum, const Lanes& lanes, int vector) {
        F32 bias = load(lanes.bias + vector * W);
        if constexpr (sizeof(Weight) == 1)
            return __builtin_convertvector(sum, F32) * load(lanes.scale + vector * W) + bias;
        else
            return sum + bias;
    }

    int64_t padded_groups() const { return round_up(channels, GROUP<Weight>) / GROUP<Weight>; }

    // ---- what is made once

    /// Decides where everything lies, in the order of its use.
    void plan(const Network& net) {
        const int64_t x_groups = padded_groups(), z_groups = round_up(net.gate, GROUP<Weight>) / GROUP<Weight>;
        const int64_t h_vectors = 2 * gate_vectors, x_vectors = padded / W;
        layers.resize(net.layers.size());
        auto place = [this](Packed<Weight>& m, int64_t groups, int64_t vectors) {
            m = {groups, vectors, words};
            words += m.words();
        };
        place(layers[0].past, (net.kernel_size - 1) * x_groups, h_vectors);
        for (size_t l = 0; l < layers.size(); l++) {
            layers[l].dilation = net.layers[l].dilation;
            layers[l].context = (net.kernel_size - 1) * net.layers[l].dilation;
            layers[l].x = Scale(net.layers[l].conv);
            place(layers[l].now, x_groups, h_vectors);
            if (l + 1 == layers.size()) break;
            place(layers[l + 1].past, (net.kernel_size - 1) * x_groups, h_vectors);
            place(layers[l].residual, z_groups, x_vectors);
        }
        // z lies in whole vectors, layer after layer
        place(skip_sum, int64_t(layers.size()) * z_length / GROUP<Weight>, skip_length / W);
        place(hidden, round_up(net.skip, GROUP<Weight>) / GROUP<Weight>, head_length / W);
        place(output, round_up(net.head, GROUP<Weight>) / GROUP<Weight>, round_up(outputs, W) / W);
        z_scale = Scale(net.skip_sum);
        skip_scale = Scale(net.hidden);
        hidden_scale = Scale(net.output);
    }

    void fill(const Network& net) {
        arena = std::make_unique<Buffer<uint32_t>>(words);
        constants = std::make_unique<Buffer<float>>(
            2 * (int64_t(layers.size()) * (h_length() + padded) + skip_length + head_length + round_up(outputs, W)));
        int64_t used = 0;
        const Order conv = filter_beside_gate(net.gate), x = in_order(net.residual);
        for (size_t l = 0; l < layers.size(); l++) {
            const Matrix& m = net.layers[l].conv;
            int64_t past_columns = (net.kernel_size - 1) * net.residual;
            if (past_columns) layers[l].past.pack(m, conv, 0, past_columns, net.residual, arena->data);
            layers[l].now.pack(m, conv, past_columns, net.residual, net.residual, arena->data);
            layers[l].h = constants_of(m, conv, used);
            if (net.layers[l].residual.rows) {
                layers[l].residual.pack(net.layers[l].residual, x, 0, net.gate, net.gate, arena->data);
                layers[l].r = constants_of(net.layers[l].residual, x, used);
            }
        }
        auto dense = [&](const Packed<Weight>& packed, const Matrix& m, int64_t run) {
            packed.pack(m, in_order(m.rows), 0, m.columns, run, arena->data);
            return constants_of(m, in_order(m.rows), used);
        };
        skip_outputs = pack_skip(net, used);
        hidden_outputs = dense(hidden, net.hidden, net.skip);
        output_outputs = dense(output, net.output, net.head);
        initial = std::make_unique<Buffer<float>>(taps * CODES * padded);
        for (int64_t row = 0; row < taps * CODES; row++)
            std::copy_n(net.initial + row * net.residual, net.residual, initial->data + row * padded);
    }

    /// The skip matrix with every layer's columns padded to z_length, as z lies.
    Outputs pack_skip(const Network& net, int64_t& used) {
        const Matrix& m = net.skip_sum;
        std::vector<Weight> wide(size_t(m.rows) * z_all());
        for (int64_t row = 0; row < m.rows; row++)
            for (int64_t l = 0; l < int64_t(layers.size()); l++)
                std::memcpy(wide.data() + row * z_all() + l * z_length,
                            m.weights + (row * m.columns + l * net.gate) * sizeof(Weight), net.gate * sizeof(Weight));
        Matrix padded_matrix = m;
        padded_matrix.columns = z_all();
        padded_matrix.weights = reinterpret_cast<const uint8_t*>(wide.data());
        skip_sum.pack(padded_matrix, in_order(m.rows), 0, z_all(), z_all(), arena->data);
        return constants_of(m, in_order(m.rows), used);
    }

    Outputs constants_of(const Matrix& m, const Order& order, int64_t& used) {
        Outputs at{used, used + int64_t(order.size())};
        for (size_t i = 0; i < order.size(); i++) {
            if (order[i] < 0) continue;
            float bias = m.bias[order[i]], scale = 1;
            if constexpr (sizeof(Weight) == 1) {
                // inputs are bytes above `input_zero`; what that adds to every sum is taken off here
                int64_t total = 0;
                const int8_t* row = reinterpret_cast<const int8_t*>(m.weights) + order[i] * m.columns;
                for (int64_t c = 0; c < m.columns; c++) total += row[c];
                scale = m.scales[order[i]] * m.input_scale;
                bias = float(double(bias) - double(scale) * m.input_zero * double(total));
            }
            constants->data[at.bias + i] = bias;
            constants->data[at.scale + i] = scale;
        }
        used += 2 * int64_t(order.size());
        return at;
    }

    void lay_out_state() {
        heard_offset = int64_t(layers.size()) * 4;
        bytes_of_state = round_up(heard_offset + taps * int64_t(sizeof(uint16_t)), 64);
        for (PackedLayer& layer : layers) {
            layer.ring = bytes_of_state;
            bytes_of_state = round_up(bytes_of_state + layer.context * padded * sizeof(In), 64);
        }
    }

    int64_t taps, kernel_size, channels, gate_channels, padded, gate_vectors, z_length, skip_length, head_length;
    std::vector<PackedLayer> layers;
    Packed<Weight> skip_sum, hidden, output;
    Outputs skip_outputs, hidden_outputs, output_outputs;
    Scale z_scale, skip_scale, hidden_scale;
    int64_t words = 0, heard_offset = 0, bytes_of_state = 0;
    std::unique_ptr<Buffer<uint32_t>> arena;
    std::unique_ptr<Buffer<float>> constants, initial;
};

std::unique_ptr<Engine> make_engine(const Network& net) {
    switch (net.precision) {
        case Precision::float32: return std::make_unique<Kernel<float>>(net);
        case Precision::bfloat16: return std::make_unique<Kernel<bf16>>(net);
        default: return std::make_unique<Kernel<int8_t>>(net);
    }
}

}  // namespace wavenet::ISA
