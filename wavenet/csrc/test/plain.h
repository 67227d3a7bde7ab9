// The network's equations in double precision, with nothing kept from sample to sample and nothing rounded.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../network.h"

namespace wavenet {

inline float weight(const Network& net, const Matrix& m, int64_t row, int64_t column) {
    int64_t at = row * m.columns + column;
    if (net.precision == Precision::int8) return float(reinterpret_cast<const int8_t*>(m.weights)[at]) * m.scales[row];
    uint32_t bits = 0;
    int size = net.precision == Precision::float32 ? 4 : 2;
    std::memcpy(&bits, m.weights + at * size, size);
    if (net.precision == Precision::bfloat16) bits <<= 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

inline std::vector<double> times(const Network& net, const Matrix& m, const std::vector<double>& x) {
    std::vector<double> y(m.rows);
    for (int64_t r = 0; r < m.rows; r++) {
        y[r] = double(m.bias[r]);
        for (int64_t c = 0; c < m.columns; c++) y[r] += double(weight(net, m, r, c)) * x[c];
    }
    return y;
}

/// Logits after `codes`, under conditions (samples, layers, 2 gate) or none.
inline std::vector<double> plain(const Network& net, const std::vector<uint16_t>& codes, const std::vector<float>& conditions) {
    int64_t layers = int64_t(net.layers.size()), field = net.receptive_field(), n = int64_t(codes.size());
    auto code = [&](int64_t t) { return t >= 0 ? int(codes[t]) : net.mixtures ? STEPS : ZERO; };
    std::vector<std::vector<double>> x;
    int64_t first = n - field - net.initial_taps;
    for (int64_t t = first; t < n; t++) {
        x.emplace_back(net.residual);
        for (int64_t k = 0; k < net.initial_taps; k++)
            for (int64_t c = 0; c < net.residual; c++) {
                double place = code(t - net.initial_taps + 1 + k), share = 0;
                if (net.mixtures) {
                    double x = (place - STEPS) / STEPS;
                    place = (std::copysign(std::log1p(255 * std::fabs(x)) / std::log(256.0), x) + 1) * 127.5;
                    share = place - std::floor(place), place = std::floor(place);
                }
                const float* row = net.initial + (k * CODES + int64_t(place)) * net.residual + c;
                x.back()[c] += double(row[0]) * (1 - share) + (share > 0 ? double(row[net.residual]) * share : 0);
            }
    }
    std::vector<double> all_z;
    for (int64_t l = 0; l < layers; l++) {
        const Layer& layer = net.layers[l];
        std::vector<std::vector<double>> above(x.size());
        for (int64_t i = 0; i < int64_t(x.size()); i++) {
            std::vector<double> tapped;
            for (int64_t k = 0; k < net.kernel_size; k++) {
                int64_t from = std::max<int64_t>(0, i - (net.kernel_size - 1 - k) * layer.dilation);
                tapped.insert(tapped.end(), x[from].begin(), x[from].end());
            }
            std::vector<double> h = times(net, layer.conv, tapped), z(net.gate);
            int64_t t = first + i;
            if (!conditions.empty() && t >= 0)
                for (int64_t c = 0; c < 2 * net.gate; c++)
                    h[c] += double(conditions[(t * layers + l) * 2 * net.gate + c]);
            for (int64_t c = 0; c < net.gate; c++) z[c] = std::tanh(h[c]) / (1 + std::exp(-h[net.gate + c]));
            if (i + 1 == int64_t(x.size())) all_z.insert(all_z.end(), z.begin(), z.end());
            above[i] = x[i];
            if (layer.residual.rows) {
                std::vector<double> add = times(net, layer.residual, z);
                for (int64_t c = 0; c < net.residual; c++) above[i][c] += add[c];
            }
        }
        x = above;
    }
    auto relu = [](std::vector<double> v) {
        for (double& value : v) value = std::max(value, 0.0);
        return v;
    };
    return times(net, net.output, relu(times(net, net.hidden, relu(times(net, net.skip_sum, all_z)))));
}

}  // namespace wavenet
