// The steps between two products: the gate, and rounding its result to the inputs of the next product.

#pragma once

#include <cstring>
#include <type_traits>

#include "dot.h"
#include "network.h"

namespace wavenet::ISA {

/// Scale and zero of one product's inputs; only int8 products use them.
struct Scale {
    F32 inverse{}, zero{};
    Scale() = default;
    explicit Scale(const Matrix& m) : inverse(splat(1.0f / m.input_scale)), zero(splat(float(m.input_zero))) {}
};

/// Writes W values in the input format of each precision's products.
inline void quantise(float* to, F32 v, const Scale&) { store(to, v); }
inline void quantise(bf16* to, F32 v, const Scale&) { store(to, v); }
inline void quantise(uint8_t* to, F32 v, const Scale& scale) {
    F32 q = v * scale.inverse + scale.zero;
#if defined(__AVX512F__)
    __m512i whole = _mm512_max_epi32(_mm512_cvtps_epi32((__m512)q), _mm512_setzero_si512());
    __m128i bytes = _mm512_cvtusepi32_epi8(whole);
#else
    typedef uint8_t U8 __attribute__((vector_size(W)));
    q = min(splat(255.0f), max(splat(0.0f), q));
    U32 whole = (U32)(q + 8388608.0f) & 255;  // adding 2**23 rounds to a whole number
    U8 bytes = __builtin_convertvector(whole ^ INPUT_OFFSET, U8);
#endif
    std::memcpy(to, &bytes, W);
}

/// z = tanh(a) * sigmoid(b), accurate to float32 precision for float32 weights, otherwise to 1e-4.
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

}  // namespace wavenet::ISA
