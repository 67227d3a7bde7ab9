// Products of int8 weights where a processor multiplies 16-bit numbers and adds neighbouring products, but has nothing
// better: x86 without AVX2, and WebAssembly.
//
// Two output vectors share their 16-bit lanes: where one has the weight w and the other v, the lane is 256 v + w + 128.
// One shift then makes two weights of every lane, and for inputs x
//
//     a = sum of x (256 v + w + 128)     b = sum of x v     =>     sum of x w = a - 256 b - 128 sum of x
//
// where overflows cancel out, since the result fits 32 bits.

#pragma once

#include <cstring>

#include "simd.h"

#if defined(__wasm_simd128__) && !defined(__wasm_relaxed_simd__)
#define ADDS_PAIRS
#elif defined(__SSE2__) && !defined(__AVX2__)
#define ADDS_PAIRS
#endif

namespace wavenet::ISA {

#if defined(ADDS_PAIRS)
template <class Weight>
constexpr bool PAIRED = sizeof(Weight) == 1;
#else
template <class Weight>
constexpr bool PAIRED = false;
#endif

/// Where the weight of this lane of a block of vectors, and of input i of a group, lies among the block's for the group.
template <class Weight>
constexpr int64_t place(int64_t vectors, int64_t lane, int64_t i) {
    if (!PAIRED<Weight> || vectors == 1) return lane * (4 / int64_t(sizeof(Weight))) + i;
    const int64_t vector = lane / W;
    return ((vector / 2 * 2 + i / 2) * W + lane % W) * 4 + i % 2 * 2 + vector % 2;
}

/// The weight as it is stored there.
template <class Weight>
constexpr Weight stored(Weight weight, int64_t vectors, int64_t lane) {
    if constexpr (PAIRED<Weight>)
        if (vectors > 1 && lane / W % 2 == 0) return Weight(weight ^ -128);
    return weight;
}

#if defined(ADDS_PAIRS)
typedef int16_t I16 __attribute__((vector_size(W * 4), may_alias));

/// Lane i: a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1].
inline I32 add_pairs(I16 a, I16 b) {
#if defined(__SSE2__)
    return (I32)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return (I32)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#endif
}

/// The lower (HALF = 0) or the upper two of the four bytes that every lane holds, as 16-bit numbers.
template <int HALF>
inline I16 two_bytes(U32 bytes) {
#if defined(__SSE2__)
    return (I16)_mm_shuffle_epi32(_mm_unpacklo_epi8((__m128i)bytes, __m128i{}), HALF * 0x55);
#else
    v128_t wide = wasm_u16x8_extend_low_u8x16((v128_t)bytes);
    return (I16)wasm_i32x4_shuffle(wide, wide, HALF, HALF, HALF, HALF);
#endif
}

/// One group's products of one vector that has no partner.
inline I32 dot_alone(I32 sum, U32 inputs, U32 weights) {
    I16 a = (I16)inputs, w = (I16)weights;
    return sum + add_pairs(a & 255, w << 8 >> 8) + add_pairs(a >> 8 & 255, w >> 8);
}

inline uint32_t sum_of_bytes(const uint32_t* inputs, int64_t groups) {
    I32 sums{};
    int64_t g = 0;
    for (; g + W <= groups; g += W) {
        I16 x;
        std::memcpy(&x, inputs + g, sizeof x);
        sums += add_pairs((x & 255) + (x >> 8 & 255), I16{} + 1);
    }
    int32_t sum = 0;
    for (int i = 0; i < W; i++) sum += sums[i];
    for (; g < groups; g++)
        for (int shift = 0; shift < 32; shift += 8) sum += int32_t(inputs[g] >> shift & 255);
    return uint32_t(sum);
}

/// sums[n][v] += weights of V vectors, an even number, times the inputs of N streams.
template <int V, int N>
[[gnu::always_inline]] inline void multiply_pairs(const uint32_t* weights, int64_t groups,
                                                  const uint32_t* const (&inputs)[N], I32 (&sums)[N][V]) {
    U32 a[N][V / 2] = {}, b[N][V / 2] = {};
    for (int64_t g = 0; g < groups; g++) {
        I16 first[N], second[N];
#pragma GCC unroll 3
        for (int n = 0; n < N; n++) {
            const U32 x = U32{} + inputs[n][g];
            first[n] = two_bytes<0>(x), second[n] = two_bytes<1>(x);
        }
#pragma GCC unroll 4
        for (int v = 0; v < V / 2; v++) {
            const uint32_t* from = weights + (g * V + 2 * v) * W;
            I16 early, late;  // the weights of the first two inputs, and of the other two
            std::memcpy(&early, from, sizeof early);
            std::memcpy(&late, from + W, sizeof late);
#pragma GCC unroll 3
            for (int n = 0; n < N; n++) {
                a[n][v] += (U32)add_pairs(first[n], early) + (U32)add_pairs(second[n], late);
                b[n][v] += (U32)add_pairs(first[n], early >> 8) + (U32)add_pairs(second[n], late >> 8);
            }
        }
    }
#pragma GCC unroll 3
    for (int n = 0; n < N; n++) {
        const uint32_t offset = 128 * sum_of_bytes(inputs[n], groups);
#pragma GCC unroll 4
        for (int v = 0; v < V / 2; v++) {
            sums[n][2 * v] += (I32)(a[n][v] - (b[n][v] << 8) - offset);
            sums[n][2 * v + 1] += (I32)b[n][v];
        }
    }
}
#endif

}  // namespace wavenet::ISA
