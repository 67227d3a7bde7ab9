// Drawing a code by inverting the cumulative distribution; sampling.h says what is kept of it.

#pragma once

#include <algorithm>
#include <cmath>

#include "network.h"
#include "sampling.h"
#include "simd.h"

namespace wavenet::ISA {

/// Exponentials of logits over a temperature, less the largest.
struct Distribution {
    float p[CODES];
    float top;
    double parts[CODES / W];  // sums of W neighbours
    double total = 0;

    Distribution(const float* logits, float temperature) {
        F32 tops = load(logits);
        for (int i = W; i < CODES; i += W) tops = max(tops, load(logits + i));
        top = largest(tops);
        F32 slope = splat(1.0f / std::max(temperature, 1e-30f));
        for (int i = 0; i < CODES; i += W) {
            F32 e = exp((load(logits + i) - top) * slope);
            store(p + i, e);
            total += parts[i / W] = sum(e);
        }
    }

    /// First code whose cumulative probability passes `uniform` of the total.
    int at(double uniform) const {
        double target = std::min(uniform * total, std::nextafter(total, 0.0)), passed = 0;
        int part = 0;
        while (part < CODES / W - 1 && passed + parts[part] <= target) passed += parts[part++];
        int code = part * W, last = code + W - 1;
        while (code < last && (passed += double(p[code])) <= target) code++;
        while (p[code] == 0 && code > 0) code--;  // rounding never lands on a code of no probability
        return code;
    }

    double bits(const float* logits, int code) const {
        return (std::log(total) + double(top) - double(logits[code])) * 1.4426950408889634;
    }
};

/// Sets all but what top_k and top_p keep to no probability. For the few who ask: it sorts.
inline void keep_likeliest(Distribution& d, const Sampling& sampling) {
    int order[CODES];
    for (int i = 0; i < CODES; i++) order[i] = i;
    std::sort(order, order + CODES, [&](int a, int b) { return d.p[a] != d.p[b] ? d.p[a] > d.p[b] : a < b; });
    int kept = sampling.top_k > 0 ? std::min(sampling.top_k, CODES) : CODES;
    double of_these = 0, passed = 0;
    for (int i = 0; i < kept; i++) of_these += double(d.p[order[i]]);
    for (int i = 0; i < CODES; i++) {
        float& p = d.p[order[i]];
        bool keep = i < kept && (sampling.top_p >= 1 || passed / of_these < sampling.top_p);
        passed += double(p);
        if (!keep) p = 0;
    }
    d.total = 0;
    for (int part = 0; part < CODES / W; part++) d.total += d.parts[part] = sum(load(d.p + part * W));
}

/// A code for this uniform number, and its bits under the model's own distribution where those are asked for.
inline int draw(const float* logits, double uniform, const Sampling& sampling, float* bits) {
    int code;
    if (sampling.temperature == 0) {
        code = int(std::max_element(logits, logits + CODES) - logits);
    } else {
        Distribution d(logits, float(sampling.temperature));
        bool all = sampling.top_p >= 1 && (sampling.top_k <= 0 || sampling.top_k >= CODES);
        if (!all) keep_likeliest(d, sampling);
        code = d.at(uniform);
        if (bits && all && sampling.temperature == 1) {
            *bits = float(d.bits(logits, code));
            return code;
        }
    }
    if (bits) *bits = float(Distribution(logits, 1).bits(logits, code));
    return code;
}

}  // namespace wavenet::ISA
