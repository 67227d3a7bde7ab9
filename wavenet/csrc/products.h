// Matrix products of V output vectors for N streams at a time, whose sums stay in registers; packing.h lays out the
// weights in the order in which they are read here.

#pragma once

#include <cstring>
#include <type_traits>

#include "dot.h"

namespace wavenet::ISA {

/// The most output vectors, and the most streams, in one block of a product.
constexpr int VECTORS = 8;
#if VECTOR_BITS == 512 || defined(__aarch64__)
constexpr int STREAMS = 3;
#else
constexpr int STREAMS = 1;
#endif

#if defined(__wasm__)
#define MULTIPLY [[gnu::noinline]]  // a smaller file, and no slower
#else
#define MULTIPLY [[gnu::always_inline]] inline
#endif

/// Calls body(first vector, V) for blocks of V = 8 vectors, then of 4, 2 and 1 for the rest; V is constant in each.
template <class Body>
[[gnu::always_inline]] inline void with_vectors(int64_t vectors, Body body) {
    int64_t block = 0;
    for (; block + 8 <= vectors; block += 8) body(block, std::integral_constant<int, 8>());
    if (vectors - block >= 4) body(block, std::integral_constant<int, 4>()), block += 4;
    if (vectors - block >= 2) body(block, std::integral_constant<int, 2>()), block += 2;
    if (vectors - block >= 1) body(block, std::integral_constant<int, 1>());
}

/// Calls body(first stream, N) for tiles of N streams, then for the rest one by one.
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

/// sums[n][v] += weights of V vectors times the inputs of N streams, over `groups` groups. With few sums, even and odd
/// groups are added separately, so that no addition waits for the previous one.
template <class Weight, int V, int N>
MULTIPLY void multiply(const uint32_t* weights, int64_t groups, const uint32_t* const (&inputs)[N],
                       Sum<Weight> (&sums)[N][V]) {
#if defined(ADDS_PAIRS)
    if constexpr (PAIRED<Weight> && V > 1) return multiply_pairs(weights, groups, inputs, sums);
#endif
    Sum<Weight> odd[N][V];
    if constexpr (V <= 4) clear(odd);
    auto add = [&](int64_t g, auto count, Sum<Weight> (&to)[N][V]) __attribute__((always_inline)) {
        constexpr int G = decltype(count)::value;
        U32 in[N][G];
#pragma GCC unroll 3
        for (int n = 0; n < N; n++)
#pragma GCC unroll 4
            for (int i = 0; i < G; i++) in[n][i] = U32{} + inputs[n][g + i];
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
            U32 w[G];
#pragma GCC unroll 4
            for (int i = 0; i < G; i++) std::memcpy(&w[i], weights + ((g + i) * V + v) * W, sizeof w[i]);
#pragma GCC unroll 3
            for (int n = 0; n < N; n++) to[n][v] = dot<Weight>(to[n][v], in[n], w);
        }
    };
    constexpr int G = AT_ONCE<Weight>;
    constexpr std::integral_constant<int, G> several;
    constexpr std::integral_constant<int, 1> one;
    int64_t g = 0;
    if constexpr (V <= 4) {
        for (; g + 2 * G <= groups; g += 2 * G) add(g, several, sums), add(g + G, several, odd);
        for (; g < groups; g++) add(g, one, sums);
#pragma GCC unroll 3
        for (int n = 0; n < N; n++)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) sums[n][v] += odd[n][v];
    } else {
        for (; g + G <= groups; g += G) add(g, several, sums);
        if constexpr (G > 1)
            for (; g < groups; g++) add(g, one, sums);
    }
}

}  // namespace wavenet::ISA
