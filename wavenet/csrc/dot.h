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

#if defined(__wasm_relaxed_simd__)
inline I32 relaxed_dot(I32 sum, U32 inputs, U32 weights) {
    return (I32)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)weights, (v128_t)inputs, (v128_t)sum);
}
/// WebAssembly leaves open whether these inputs are signed, but it is always the same on one machine, so this asks it. If
/// they are, int8 products read inputs that are lower by this. What their sums lack, this times the sum of a row's
/// weights, is one constant per row, which `value` in dense.h adds. The page loads this code only where sums are exact.
const uint32_t INPUT_OFFSET = relaxed_dot(I32{}, U32{} + 0xFFFFFFFF, U32{} + 0x01010101)[0] < 0 ? 128 : 0;
#else
constexpr uint32_t INPUT_OFFSET = 0;
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
#if defined(__AVX512VNNI__)
        return (I32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)inputs, (__m512i)weights);
#elif defined(__AVX2__)
        // even and odd bytes are multiplied separately, as 16-bit numbers: multiplying bytes directly would saturate
        __m256i a = (__m256i)inputs, w = (__m256i)weights;
        __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
        __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(w, 8));
        return sum + (I32)even + (I32)odd;
#elif defined(__wasm_relaxed_simd__)
        return relaxed_dot(sum, inputs, weights);
#elif defined(ADDS_PAIRS)
        return dot_alone(sum, inputs, weights);
#elif defined(__ARM_FEATURE_DOTPROD)
        // the instruction needs signed inputs: each is reduced by 128, and 64 times its weight is added twice instead
        int8x16_t w = (int8x16_t)weights, a = (int8x16_t)(inputs ^ 0x80808080), half = vdupq_n_s8(64);
        return (I32)vdotq_s32(vdotq_s32(vdotq_s32((int32x4_t)sum, a, w), half, w), half, w);
#else
        I32 a = (I32)inputs, w = (I32)weights;
        sum += (a & 255) * ((w << 24) >> 24) + ((a >> 8) & 255) * ((w << 16) >> 24);
        return sum + ((a >> 16) & 255) * ((w << 8) >> 24) + (I32)(inputs >> 24) * (w >> 24);
#endif
    }
}

}  // namespace wavenet::ISA
