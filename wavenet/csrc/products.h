// Matrices laid out in the order that their products read them, and the products: V vectors of outputs for N streams at a
// time, whose sums stay in registers.

#pragma once

#include <cstring>
#include <type_traits>
#include <vector>

#include "dot.h"
#include "network.h"

namespace wavenet::ISA {

/// Output vectors that are worked on at once, and streams: their sums stay in registers.
constexpr int VECTORS = 8;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int STREAMS = 3;
#else
constexpr int STREAMS = 1;
#endif

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/// A matrix's rows in the order that the lanes of its vectors take them; -1 for a lane that has none.
using Order = std::vector<int64_t>;

inline Order in_order(int64_t rows) {
    Order order(round_up(rows, W), -1);
    for (int64_t i = 0; i < rows; i++) order[i] = i;
    return order;
}

/// Filter and gate rows of the same channels in the same block: half its vectors each.
inline Order filter_beside_gate(int64_t channels) {
    Order order;
    int64_t vectors = round_up(channels, W) / W;
    for (int64_t v = 0; v < vectors;) {
        int64_t n = VECTORS / 2;
        while (n > vectors - v) n /= 2;
        for (int64_t half = 0; half < 2; half++)
            for (int64_t c = v * W; c < (v + n) * W; c++) order.push_back(c < channels ? c + half * channels : -1);
        v += n;
    }
    return order;
}

/// A part of a matrix as the products read it: block after block of up to VECTORS output vectors, within a block group
/// after group of inputs. The numbers themselves lie in the arena.
template <class Weight>
struct Packed {
    int64_t groups = 0, vectors = 0, offset = 0;

    int64_t words() const { return groups * vectors * W; }

    /// Copies columns [first, first + count) of m, of which every `run` are padded to whole groups.
    void pack(const Matrix& m, const Order& order, int64_t first, int64_t count, int64_t run, uint32_t* arena) const {
        Weight* to = reinterpret_cast<Weight*>(arena + offset);
        const Weight* from = reinterpret_cast<const Weight*>(m.weights);
        int64_t per_run = round_up(run, GROUP<Weight>);
        for (int64_t block = 0; block < vectors;) {
            int64_t n = VECTORS;
            while (n > vectors - block) n /= 2;
            for (int64_t input = 0; input < count / run * per_run; input += GROUP<Weight>)
                for (int64_t lane = block * W; lane < (block + n) * W; lane++)
                    for (int64_t i = input; i < input + GROUP<Weight>; i++, to++) {
                        bool there = order[lane] >= 0 && i % per_run < run;
                        int64_t column = first + i / per_run * run + i % per_run;
                        if (there) std::memcpy(to, from + order[lane] * m.columns + column, sizeof *to);
                    }
            block += n;
        }
    }
};

/// body(first vector, V) over blocks of V = 8 vectors and, of those left over, 4, 2 and 1: V is known to the compiler.
template <class Body>
[[gnu::always_inline]] inline void with_vectors(int64_t vectors, Body body) {
    int64_t block = 0;
    for (; block + 8 <= vectors; block += 8) body(block, std::integral_constant<int, 8>());
    if (vectors - block >= 4) body(block, std::integral_constant<int, 4>()), block += 4;
    if (vectors - block >= 2) body(block, std::integral_constant<int, 2>()), block += 2;
    if (vectors - block >= 1) body(block, std::integral_constant<int, 1>());
}

/// body(first stream, N) over tiles of N streams, and those left over one by one.
template <class Body>
[[gnu::always_inline]] inline void with_streams(int count, Body body) {
    int s = 0;
    if constexpr (STREAMS > 1)
        for (; s + STREAMS <= count; s += STREAMS) body(s, std::integral_constant<int, STREAMS>());
    for (; s < count; s++) body(s, std::integral_constant<int, 1>());
}

template <class Sums, int V, int N>
[[gnu::always_inline]] inline void clear(Sums (&sums)[N][V]) {
#pragma GCC unroll 3
    for (int n = 0; n < N; n++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) sums[n][v] = Sums{};
}

/// sums[n][v] += weights of V vectors times the inputs of N streams, over `groups` groups. Where there are few sums,
/// even and odd groups are summed apart, so that no addition waits for the one before.
template <class Weight, int V, int N>
[[gnu::always_inline]] inline void multiply(const uint32_t* weights, int64_t groups,
                                            const uint32_t* const (&inputs)[N], Sum<Weight> (&sums)[N][V]) {
    Sum<Weight> odd[N][V];
    if constexpr (V <= 4) clear(odd);
    auto add = [&](int64_t g, Sum<Weight> (&to)[N][V]) __attribute__((always_inline)) {
        U32 in[N];
#pragma GCC unroll 3
        for (int n = 0; n < N; n++) in[n] = U32{} + inputs[n][g];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            U32 w;
            std::memcpy(&w, weights + (g * V + v) * W, sizeof w);
#pragma GCC unroll 3
            for (int n = 0; n < N; n++) to[n][v] = dot<Weight>(to[n][v], in[n], w);
        }
    };
    int64_t g = 0;
    if constexpr (V <= 4) {
        for (; g + 2 <= groups; g += 2) add(g, sums), add(g + 1, odd);
        if (g < groups) add(g, sums);
#pragma GCC unroll 3
        for (int n = 0; n < N; n++)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) sums[n][v] += odd[n][v];
    } else {
        for (; g < groups; g++) add(g, sums);
    }
}

}  // namespace wavenet::ISA
