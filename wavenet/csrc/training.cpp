// What a training step does between its matrix products, each part in one pass over memory, forward and backward.
//
// Arrays are channels-last, with one row per time step. `T`, float or bf16, is the type that the matrix products read
// and write; sums and the residual stream are float. Threads divide the rows.

#include "training.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace wavenet::ISA {

namespace {

/// Calls body(i, n) for each vector of a row of `channels`: n is W, or less for the last.
template <class Body>
inline void over(int64_t channels, Body body) {
    int64_t i = 0;
    for (; i + W <= channels; i += W) body(i, std::integral_constant<int, W>());
    if (i < channels) body(i, int(channels - i));
}

template <class T>
inline F32 load(const T* p, std::integral_constant<int, W>) {
    return ISA::load(p);
}
template <class T>
inline void store(T* p, F32 v, std::integral_constant<int, W>) {
    ISA::store(p, v);
}

/// Adds the threads' sums in a fixed order, so that the total is always the same.
template <class Body>
void with_column_sums(int64_t rows, int64_t columns, float* sums, int threads, Body body) {
    std::vector<float> partial(size_t(threads) * columns);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        int64_t begin = rows * thread / threads, end = rows * (thread + 1) / threads;
        body(begin, end, partial.data() + thread * columns);
    }
    std::fill(sums, sums + columns, 0.0f);
    for (int thread = 0; thread < threads; thread++)
        for (int64_t i = 0; i < columns; i++) sums[i] += partial[thread * columns + i];
}

/// Rows between a prefetch and its use, for rows that lie too far apart for the processor's own prefetching.
constexpr int64_t ahead = 16;

}  // namespace

template <class N>
static inline F32 biased(F32 value, const float* bias, int64_t i, N n) {
    return bias ? value + load(bias + i, n) : value;
}

template <class T>
void gate_forward(const Gate& g, const T* h, const float* bias, T* z, T* gated, [[maybe_unused]] int threads) {
    int64_t rows = g.batch * g.steps, silent = g.steps - g.scored;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        int64_t item = row / g.steps, t = row % g.steps;
        T* side = t < silent ? nullptr : gated + (item * g.scored + t - silent) * g.stride;
        if (side)
            for (int64_t i = 0; i < g.channels; i += 64 / int(sizeof(T)))
                __builtin_prefetch(side + ahead * g.stride + i, 1);
        over(g.channels, [&](int64_t i, auto n) {
            const T* filter = h + row * 2 * g.channels + i;
            F32 a, b;
            gate<T>(biased(load(filter, n), bias, i, n),
                    biased(load(filter + g.channels, n), bias, i + g.channels, n), a, b);
            store(z + row * g.channels + i, a * b, n);
            if (side) store(side + i, a * b, n);
        });
    }
}

template <class T>
void gate_backward(const Gate& g, const T* h, const float* bias, const T* d_z, const T* d_gated, T* d_h,
                   float* d_bias, int threads) {
    int64_t silent = g.steps - g.scored;
    with_column_sums(g.batch * g.steps, 2 * g.channels, d_bias, threads, [&](int64_t begin, int64_t end, float* sums) {
        for (int64_t row = begin; row < end; row++) {
            int64_t item = row / g.steps, t = row % g.steps;
            const T* side = t < silent ? nullptr : d_gated + (item * g.scored + t - silent) * g.stride;
            if (side)
                for (int64_t i = 0; i < g.channels; i += 64 / int(sizeof(T)))
                    __builtin_prefetch(side + ahead * g.stride + i);
            over(g.channels, [&](int64_t i, auto n) {
                int64_t filter = row * 2 * g.channels + i, above = filter + g.channels;
                F32 d = d_z ? load(d_z + row * g.channels + i, n) : F32{};
                if (side) d += load(side + i, n);
                F32 a, b;
                gate<T>(biased(load(h + filter, n), bias, i, n),
                        biased(load(h + above, n), bias, i + g.channels, n), a, b);
                F32 d_filter = d * b * (1.0f - a * a), d_gate = d * a * b * (1.0f - b);
                store(d_h + filter, d_filter, n);
                store(d_h + above, d_gate, n);
                store(sums + i, load(sums + i, n) + d_filter, n);
                store(sums + g.channels + i, load(sums + g.channels + i, n) + d_gate, n);
            });
        }
    });
}

template <class T>
void join_forward(const Join& j, const float* x, const T* residual, const float* bias, float* joined,
                  T* taps, [[maybe_unused]] int threads) {
    int64_t rows = j.batch * j.steps, tapped = j.steps - (j.kernel_size - 1) * j.dilation;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        int64_t item = row / j.steps, t = row % j.steps;
        const float* from = x + (item * (j.steps + j.dropped) + t + j.dropped) * j.channels;
        over(j.channels, [&](int64_t i, auto n) {
            F32 value = load(from + i, n);
            if (residual) {
                value += biased(load(residual + row * j.channels + i, n), bias, i, n);
                store(joined + row * j.channels + i, value, n);
            }
            for (int64_t k = 0; k < j.kernel_size; k++) {
                int64_t target = t - k * j.dilation;
                if (target >= 0 && target < tapped)
                    store(taps + (item * tapped + target) * j.width + k * j.channels + i, value, n);
            }
        });
    }
}

template <class T>
void join_backward(const Join& j, const float* d_above, const T* d_taps, float* d_joined, T* d_residual, float* d_bias,
                   int threads) {
    int64_t context = (j.kernel_size - 1) * j.dilation, tapped = j.steps - context;
    with_column_sums(j.batch * j.steps, j.channels, d_bias, threads, [&](int64_t begin, int64_t end, float* sums) {
        for (int64_t row = begin; row < end; row++) {
            int64_t item = row / j.steps, t = row % j.steps;
            over(j.channels, [&](int64_t i, auto n) {
                F32 d{};
                if (d_above && t >= context) d = load(d_above + (item * tapped + t - context) * j.channels + i, n);
                for (int64_t k = 0; k < j.kernel_size; k++) {
                    int64_t target = t - k * j.dilation;
                    if (target >= 0 && target < tapped)
                        d += load(d_taps + (item * tapped + target) * j.width + k * j.channels + i, n);
                }
                store(d_joined + row * j.channels + i, d, n);
                store(d_residual + row * j.channels + i, d, n);
                store(sums + i, load(sums + i, n) + d, n);
            });
        }
    });
}

template <class T>
double cross_entropy(int64_t rows, const T* logits, const int64_t* targets, T* gradient, int threads) {
    constexpr int64_t codes = 256;
    std::vector<double> partial(threads);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        float p[codes];
        for (int64_t row = rows * thread / threads; row < rows * (thread + 1) / threads; row++) {
            const T* in = logits + row * codes;
            T* out = gradient + row * codes;
            int64_t target = targets[row];
            if (target < 0) {
                std::fill(out, out + codes, T{});
                continue;
            }
            F32 tops = load(in);
            for (int64_t i = W; i < codes; i += W) tops = max(tops, load(in + i));
            float top = largest(tops), chosen = load(in + target, 1)[0];
            F32 totals{};
            for (int64_t i = 0; i < codes; i += W) {
                F32 e = exp(load(in + i) - top);
                store(p + i, e);
                totals += e;
            }
            float total = sum(totals), scale = 1.0f / total;
            partial[thread] += double(top) + std::log(double(total)) - double(chosen);
            p[target] -= total;
            for (int64_t i = 0; i < codes; i += W) store(out + i, load(p + i) * scale);
        }
    }
    double total = 0;
    for (double part : partial) total += part;
    return total;
}

template <class T>
constexpr Passes<T> passes{gate_forward<T>, gate_backward<T>, join_forward<T>, join_backward<T>, cross_entropy<T>};

extern const Passes<float> passes_float32 = passes<float>;
extern const Passes<bf16> passes_bfloat16 = passes<bf16>;

}  // namespace wavenet::ISA
