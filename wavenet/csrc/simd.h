// Vectors of W floats on any processor, by GNU vector extensions. The kernels are written with them.
//
// A file that includes this is compiled once for each instruction set, with ISA defined to its name; everything lands in
// namespace wavenet::ISA, so the copies never mix.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#include "types.h"

#if defined(VECTOR_BITS)  // CMakeLists.txt asks for narrower vectors than the processor has
#elif defined(__AVX512F__)
#define VECTOR_BITS 512
#elif defined(__AVX2__)
#define VECTOR_BITS 256
#else
#define VECTOR_BITS 128
#endif

namespace wavenet::ISA {

constexpr int W = VECTOR_BITS / 32;

typedef float F32 __attribute__((vector_size(W * 4), may_alias));
typedef int32_t I32 __attribute__((vector_size(W * 4), may_alias));
typedef uint32_t U32 __attribute__((vector_size(W * 4), may_alias));
typedef uint16_t U16 __attribute__((vector_size(W * 2), may_alias));

inline F32 splat(float value) { return F32{} + value; }
inline F32 choose(I32 condition, F32 a, F32 b) { return condition ? a : b; }

/// The larger and the smaller of two; b if either is NaN.
inline F32 max(F32 a, F32 b) {
#if VECTOR_BITS == 512
    return (F32)_mm512_max_ps((__m512)a, (__m512)b);
#elif VECTOR_BITS == 256
    return (F32)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (F32)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__wasm_simd128__)
    return (F32)wasm_f32x4_pmax((v128_t)b, (v128_t)a);
#else
    return choose(a > b, a, b);
#endif
}

inline F32 min(F32 a, F32 b) {
#if VECTOR_BITS == 512
    return (F32)_mm512_min_ps((__m512)a, (__m512)b);
#elif VECTOR_BITS == 256
    return (F32)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (F32)_mm_min_ps((__m128)a, (__m128)b);
#elif defined(__wasm_simd128__)
    return (F32)wasm_f32x4_pmin((v128_t)b, (v128_t)a);
#else
    return choose(a < b, a, b);
#endif
}

/// The sum or maximum of all lanes, by halving them until one is left.
template <class Combine>
inline float fold(F32 v, Combine combine) {
    float lanes[W];
    std::memcpy(lanes, &v, sizeof v);
#pragma GCC unroll 4
    for (int n = W / 2; n > 0; n /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) lanes[i] = combine(lanes[i], lanes[i + n]);
    return lanes[0];
}

inline float sum(F32 v) {
#if VECTOR_BITS == 512
    return _mm512_reduce_add_ps((__m512)v);
#else
    return fold(v, [](float a, float b) { return a + b; });
#endif
}

inline float largest(F32 v) {
    return fold(v, [](float a, float b) { return a > b ? a : b; });
}

inline F32 load(const float* p) {
    F32 v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline F32 load(const bf16* p) {
    U16 half;
    std::memcpy(&half, p, sizeof half);
    return (F32)(__builtin_convertvector(half, U32) << 16);
}

inline void store(float* p, F32 v) { std::memcpy(p, &v, sizeof v); }

/// Rounds to the nearest, ties to even; NaN stays NaN.
inline void store(bf16* p, F32 v) {
#if defined(__AVX512BF16__)
    __m256bh half = _mm512_cvtneps_pbh((__m512)v);
#else
    U32 bits = (U32)v;
    U32 rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    rounded = (v != v) ? (U32{} + 0x7FC0) : rounded;
    U16 half = __builtin_convertvector(rounded, U16);
#endif
    std::memcpy(p, &half, sizeof half);
}

/// The first n < W elements of a row's end, followed by zeros.
template <class T>
inline F32 load(const T* p, int n) {
    T padded[W] = {};
    std::memcpy(padded, p, n * sizeof(T));
    return load(padded);
}

template <class T>
inline void store(T* p, F32 v, int n) {
    T padded[W];
    store(padded, v);
    std::memcpy(p, padded, n * sizeof(T));
}

/// e^x to 2e-7 of its value, x kept within [-87, 88]; NaN stays NaN. Splits x into n ln 2 + r, a polynomial in r.
inline F32 exp(F32 x) {
    x = min(splat(88.0f), max(splat(-87.0f), x));
    F32 magic = splat(12582912.0f);  // 1.5 * 2**23: adding it rounds to a whole number, kept in the low bits
    F32 shifted = x * 1.44269504f + magic;
    F32 n = shifted - magic;
    F32 r = x - n * 0.693145752f - n * 1.42860677e-6f;
    F32 p = splat(1.0f / 720);
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * (F32)(((I32)shifted << 23) + 0x3F800000);
}

/// 1 / x; to bfloat16 precision if T is bf16 and the processor has a faster instruction.
template <class T>
inline F32 reciprocal(F32 x) {
#if VECTOR_BITS == 512
    if (sizeof(T) == 2) return (F32)_mm512_rcp14_ps((__m512)x);
#endif
    return 1.0f / x;
}

/// tanh(a) and sigmoid(b), to T's precision, with a single division.
template <class T>
inline void gate(F32 a, F32 b, F32& tanh_a, F32& sigmoid_b) {
    F32 p = 1.0f + exp(-2.0f * max(splat(-20.0f), a)), q = 1.0f + exp(-max(splat(-40.0f), b));
    F32 r = reciprocal<T>(p * q);
    tanh_a = 2.0f * q * r - 1.0f;
    sigmoid_b = p * r;
}

}  // namespace wavenet::ISA
