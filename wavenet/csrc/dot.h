// Sums of products, 32 bits of inputs at a time: one float, two bf16 or four bytes, in each of W lanes.

#pragma once

#include <type_traits>

#include "pairs.h"

namespace wavenet::ISA {

/// The types of a weight's inputs and of the sum of their products. int8 weights are multiplied by unsigned bytes.
template <class Weight>
using Input = std::conditional_t<sizeof(Weight) == 1, uint8_t, Weight>;
template <class Weight>
using Sum = std::conditional_t<sizeof(Weight) == 1, I32, F32>;

/// How many weights, or inputs, 32 bits hold.
template <class Weight>
constexpr int GROUP = 4 / sizeof(Weight);

/// Where an instruction multiplies signed bytes, int8 products read inputs that are lower by INPUT_OFFSET. What their sums
/// lack, this times the sum of a row's weights, is one constant per row, which `value` in dense.h adds.
#if (defined(__ARM_FEATURE_DOTPROD) || defined(NEON)) && !defined(__ARM_FEATURE_MATMUL_INT8)
constexpr uint32_t INPUT_OFFSET = 128;
#elif defined(__wasm_relaxed_simd__)
inline I32 relaxed_dot(I32 sum, U32 inputs, U32 weights) {
    return (I32)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)weights, (v128_t)inputs, (v128_t)sum);
}
/// WebAssembly leaves open whether these inputs are signed, but it is always the same on one machine, so this asks it. The
/// page loads this code only where sums are exact.
const uint32_t INPUT_OFFSET = relaxed_dot(I32{}, U32{} + 0xFFFFFFFF, U32{} + 0x01010101)[0] < 0 ? 128 : 0;
#else
constexpr uint32_t INPUT_OFFSET = 0;
#endif

#if VECTOR_BITS == 256 && !defined(__AVXVNNI__) && !defined(__AVX512VNNI__)
#define SPLIT_BYTES
/// AVX2 adds two products in 16 bits and saturates, so the low six bits of the inputs are multiplied apart from the high
/// two. Then there is room to add those of two groups before they are widened.
template <int G>
inline I32 dot_split(I32 sum, const U32 (&inputs)[G], const U32 (&weights)[G]) {
    static_assert(2 * G * 63 * 128 <= 32767);
    __m256i low = _mm256_setzero_si256(), high = low;
#pragma GCC unroll 2
    for (int g = 0; g < G; g++) {
        __m256i w = (__m256i)weights[g];
        low = _mm256_add_epi16(low, _mm256_maddubs_epi16((__m256i)(inputs[g] & 0x3F3F3F3F), w));
        high = _mm256_add_epi16(high, _mm256_maddubs_epi16((__m256i)(inputs[g] >> 6 & 0x03030303), w));
    }
    sum += (I32)_mm256_madd_epi16(low, _mm256_set1_epi16(1));
    return sum + (I32)_mm256_madd_epi16(high, _mm256_set1_epi16(64));
}
#endif

template <class Weight>
inline Sum<Weight> dot(Sum<Weight> sum, U32 inputs, U32 weights) {
    if constexpr (std::is_same_v<Weight, float>) {
        return sum + (F32)inputs * (F32)weights;
    } else if constexpr (std::is_same_v<Weight, bf16>) {
#if defined(__AVX512BF16__)
        return (F32)_mm512_dpbf16_ps((__m512)sum, (__m512bh)inputs, (__m512bh)weights);
#else
        sum += (F32)(inputs << 16) * (F32)(weights << 16);
        return sum + (F32)(inputs & 0xFFFF0000) * (F32)(weights & 0xFFFF0000);
#endif
    } else {
#if VECTOR_BITS == 512
        return (I32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)inputs, (__m512i)weights);
#elif defined(__AVXVNNI__)
        return (I32)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)inputs, (__m256i)weights);
#elif defined(__AVX512VNNI__)
        return (I32)_mm256_dpbusd_epi32((__m256i)sum, (__m256i)inputs, (__m256i)weights);
#elif defined(SPLIT_BYTES)
        return dot_split(sum, {inputs}, {weights});
#elif defined(__wasm_relaxed_simd__)
        return relaxed_dot(sum, inputs, weights);
#elif defined(ADDS_PAIRS)
        return dot_alone(sum, inputs, weights);
#elif defined(__ARM_FEATURE_MATMUL_INT8)
        return (I32)vusdotq_s32((int32x4_t)sum, (uint8x16_t)inputs, (int8x16_t)weights);
#elif defined(__ARM_FEATURE_DOTPROD)
        return (I32)vdotq_s32((int32x4_t)sum, (int8x16_t)inputs, (int8x16_t)weights);
#elif defined(NEON)
        // two products fit in 16 bits, since inputs are signed and weights are at least -127
        int8x16_t a = (int8x16_t)inputs, w = (int8x16_t)weights;
        int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(w)), high = vmull_high_s8(a, w);
        return (I32)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
#else
        I32 a = (I32)inputs, w = (I32)weights;
        sum += (a & 255) * ((w << 24) >> 24) + ((a >> 8) & 255) * ((w << 16) >> 24);
        return sum + ((a >> 16) & 255) * ((w << 8) >> 24) + (I32)(inputs >> 24) * (w >> 24);
#endif
    }
}

/// How many groups one call takes: two if that costs less than two calls.
#if defined(SPLIT_BYTES)
template <class Weight>
constexpr int AT_ONCE = sizeof(Weight) == 1 ? 2 : 1;
#else
template <class Weight>
constexpr int AT_ONCE = 1;
#endif

template <class Weight, int G>
inline Sum<Weight> dot(Sum<Weight> sum, const U32 (&inputs)[G], const U32 (&weights)[G]) {
#if defined(SPLIT_BYTES)
    if constexpr (sizeof(Weight) == 1) return dot_split(sum, inputs, weights);
#endif
    for (int g = 0; g < G; g++) sum = dot<Weight>(sum, inputs[g], weights[g]);
    return sum;
}

}  // namespace wavenet::ISA
