// Drawing a code by inverting the cumulative distribution; sampling.h holds the settings.

#pragma once

#include <algorithm>
#include <cmath>

#include "network.h"
#include "sampling.h"
#include "simd.h"

namespace wavenet::ISA {

/// exp((logits - largest) / temperature), and their sums.
struct Softmax {
    float p[CODES];
    float top;
    double parts[CODES / W];  // sums of W neighbours
    double total = 0;

    Softmax(const float* logits, float temperature) {
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

    /// The first code whose cumulative probability exceeds `uniform` times the total.
    int at(double uniform) const {
        double target = std::min(uniform * total, std::nextafter(total, 0.0)), passed = 0;
        int part = 0;
        while (part < CODES / W - 1 && passed + parts[part] <= target) passed += parts[part++];
        int code = part * W, last = code + W - 1;
        while (code < last && (passed += double(p[code])) <= target) code++;
        while (p[code] == 0 && code > 0) code--;  // rounding never ends on a code of probability 0
        return code;
    }

    double bits(const float* logits, int code) const {
        return (std::log(total) + double(top) - double(logits[code])) * 1.4426950408889634;
    }
};

/// Sets the probability of every code that top_k and top_p exclude to 0. It sorts, so it runs only if needed.
inline void keep_likeliest(Softmax& d, const Sampling& sampling) {
    int order[CODES];
    for (float& p : d.p)
        if (!(p >= 0)) p = 0;  // sums of huge weights may be NaN, which cannot be sorted
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

/// The code for this uniform number. Fills in its bits under the model's own distribution if `bits` is not null.
inline int draw(const float* logits, double uniform, const Sampling& sampling, float* bits) {
    int code;
    if (sampling.temperature == 0) {
        code = int(std::max_element(logits, logits + CODES) - logits);
    } else {
        Softmax d(logits, float(sampling.temperature));
        bool all = sampling.top_p >= 1 && (sampling.top_k <= 0 || sampling.top_k >= CODES);
        if (!all) keep_likeliest(d, sampling);
        code = d.at(uniform);
        if (bits && all && sampling.temperature == 1) {
            *bits = float(d.bits(logits, code));
            return code;
        }
    }
    if (bits) *bits = float(Softmax(logits, 1).bits(logits, code));
    return code;
}

// ---- 16-bit codes, by a mixture of logistics over companded amplitudes

inline double compand(double x) { return std::copysign(std::log1p(255 * std::fabs(x)) / std::log(256.0), x); }

/// The companded amplitude of a 16-bit code; code - 0.5 gives its lower edge.
inline double companded(double code) { return compand((code - STEPS) / STEPS); }

/// The lower edge of each mu-law code's 16-bit codes, as a companded amplitude.
struct MulawEdges {
    double edge[CODES + 1];
    static int of(int code) { return int(std::floor((companded(code) + 1) / 2 * (CODES - 1) + 0.5)); }
    MulawEdges() {
        for (int code = 2 * STEPS - 1; code > 0; code--) edge[of(code)] = companded(code - 0.5);
        edge[0] = -1e3, edge[CODES] = 1e3;
    }
};

/// A mixture of logistics, given by its outputs (3 count); see wavenet/model/distributions.py.
struct Mixture {
    const float* logits;
    int64_t count;

    double mean(int64_t k) const {
        return double(logits[count + k]) + (double(k) + 0.5) / double(count) - 0.5;
    }
    double scale(int64_t k) const { return std::exp(std::clamp(double(logits[2 * count + k]) - 3, -9.0, 2.0)); }

    /// exp((a weight's logit - the largest) / temperature).
    double weight(int64_t k, double top, double temperature) const {
        return std::exp((double(logits[k]) - top) / temperature);
    }
    double top() const { return *std::max_element(logits, logits + count); }

    double bits(int code) const {
        static const MulawEdges mulaw;
        int bin = MulawEdges::of(code);
        double low = mulaw.edge[bin], high = mulaw.edge[bin + 1], highest = top(), total = 0, most = -1e300, sum = 0;
        auto log_share = [&](int64_t k) {  // ln (sigma(a) - sigma(b)), in a form that neither cancels nor overflows
            double s = scale(k), a = (high - mean(k)) / s, b = (low - mean(k)) / s;
            return double(logits[k]) - highest - softplus(-a) - softplus(b) + std::log(-std::expm1(b - a));
        };
        for (int64_t k = 0; k < count; k++) total += weight(k, highest, 1), most = std::max(most, log_share(k));
        for (int64_t k = 0; k < count; k++) sum += std::exp(log_share(k) - most);
        return (std::log(total) - most - std::log(sum)) / std::log(2.0);
    }

    static double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
};

/// The uniform's place among the weights chooses the component; its place within that weight chooses the point.
inline int draw(const Mixture& mixture, double uniform, const Sampling& sampling, float* bits) {
    const int64_t count = mixture.count;
    const double top = mixture.top(), temperature = sampling.temperature;
    int64_t k = std::max_element(mixture.logits, mixture.logits + count) - mixture.logits;
    double point = mixture.mean(k);
    if (temperature > 0) {
        double total = 0, passed = 0, weight = 0;
        for (k = 0; k < count; k++) total += mixture.weight(k, top, temperature);
        double target = std::min(uniform * total, std::nextafter(total, 0.0));
        for (k = 0; k < count; k++) {
            weight = mixture.weight(k, top, temperature);
            if (k + 1 == count || passed + weight > target) break;
            passed += weight;
        }
        double place = std::clamp((target - passed) / weight, 0x1p-53, 1 - 0x1p-53);
        point = mixture.mean(k) + temperature * mixture.scale(k) * (std::log(place) - std::log1p(-place));
    }
    point = std::max(-2.0, std::min(2.0, point));  // damaged weights may make it NaN, which becomes 2
    double x = std::copysign(std::expm1(std::fabs(point) * std::log(256.0)) / 255, point);
    int code = int(std::clamp(std::floor(x * STEPS + STEPS + 0.5), 0.0, 2.0 * STEPS - 1));
    if (bits) *bits = float(mixture.bits(code));
    return code;
}

}  // namespace wavenet::ISA
