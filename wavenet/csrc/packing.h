// A network's weights in the layout that the step reads. Reading every weight once per sample limits the speed, so the
// weights are stored in the order of their use, padded to whole vectors.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "activations.h"
#include "memory.h"
#include "products.h"

namespace wavenet::ISA {

/// The matrix row of each lane of its output vectors; -1 for a lane of padding.
using Order = std::vector<int64_t>;

inline Order in_order(int64_t rows) {
    Order order(round_up(rows, W), -1);
    for (int64_t i = 0; i < rows; i++) order[i] = i;
    return order;
}

/// Filter and gate rows of the same channels share a block of vectors, half of it each.
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

/// Where a part of a matrix lies among the weights: in blocks of up to VECTORS output vectors, and within a block in
/// groups of inputs.
template <class Weight>
struct Packed {
    int64_t groups = 0, vectors = 0, offset = 0;

    int64_t words() const { return groups * vectors * W; }

    /// Copies columns [first, first + count) of m; every `run` of them are padded to whole groups.
    void pack(const Matrix& m, const Order& order, int64_t first, int64_t count, int64_t run, uint32_t* arena) const {
        Weight* to = reinterpret_cast<Weight*>(arena + offset);
        const Weight* from = reinterpret_cast<const Weight*>(m.weights);
        int64_t per_run = round_up(run, GROUP<Weight>);
        for (int64_t block = 0; block < vectors;) {
            int64_t n = VECTORS;
            while (n > vectors - block) n /= 2;
            for (int64_t input = 0; input < count / run * per_run; input += GROUP<Weight>, to += n * W * GROUP<Weight>)
                for (int64_t lane = 0; lane < n * W; lane++)
                    for (int64_t i = 0; i < GROUP<Weight>; i++) {
                        const int64_t row = order[block * W + lane], within = (input + i) % per_run;
                        const int64_t column = first + (input + i) / per_run * run + within;
                        Weight weight{};
                        if (row >= 0 && within < run)
                            std::memcpy(&weight, from + row * m.columns + column, sizeof weight);
                        to[place<Weight>(n, lane, i)] = stored(weight, n, lane);
                    }
            block += n;
        }
    }
};

/// Where the bias and the scale of each output lane lie among the constants; only int8 uses the scale.
struct Affine {
    int64_t bias = 0, scale = 0;
};

/// A whole matrix with its bias.
template <class Weight>
struct Dense {
    Packed<Weight> weights;
    Affine outputs;
};

/// One gated residual block. The convolution's past taps and its present tap are separate products.
template <class Weight>
struct PackedLayer {
    Packed<Weight> past, now;
    Affine h;
    Dense<Weight> residual;
    Scale x;
};

template <class Weight>
struct PackedNetwork {
    explicit PackedNetwork(const Network& net)
        : mixtures(net.mixtures), taps(net.initial_taps), kernel_size(net.kernel_size), channels(net.residual),
          gate_channels(net.gate), outputs(net.outputs()), x_length(round_up(net.residual, W)),
          z_length(round_up(net.gate, W)), h_length(2 * z_length), z_all(int64_t(net.layers.size()) * z_length),
          skip_length(round_up(net.skip, W)), head_length(round_up(net.head, W)),
          condition_channels(net.condition_channels), condition_length(round_up(condition_channels, W)),
          added_length(int64_t(net.layers.size()) * h_length), layers(net.layers.size()),
          z_scale(net.skip_sum), skip_scale(net.hidden), hidden_scale(net.output) {
        plan(net);
        fill(net);
    }

    const int64_t mixtures, taps, kernel_size, channels, gate_channels, outputs;
    /// Channels in whole vectors: of x, of one layer's z and h, of all layers' z side by side, and of the output layers.
    const int64_t x_length, z_length, h_length, z_all, skip_length, head_length;
    /// A row of conditioning, its channels in whole vectors, and what it adds to all layers' h side by side.
    const int64_t condition_channels, condition_length, added_length;
    std::vector<PackedLayer<Weight>> layers;
    Dense<Weight> skip_sum, hidden, output, condition;
    const Scale z_scale, skip_scale, hidden_scale;  // z lies in [-1, 1], so one scale serves all layers
    Buffer<uint32_t> arena;                         // every weight
    Buffer<float> constants, initial;
    Buffer<int32_t> missing;  // from the sums of int8 products, beside each bias; empty if there is no INPUT_OFFSET

    /// Zero of the bytes that a row of conditioning is rounded to.
    static constexpr int CONDITION_ZERO = 128;

    int64_t x_groups() const { return round_up(channels, GROUP<Weight>) / GROUP<Weight>; }

  private:
    /// Assigns every weight its place, in the order of use.
    void plan(const Network& net) {
        const int64_t z_groups = round_up(net.gate, GROUP<Weight>) / GROUP<Weight>;
        const int64_t h_vectors = h_length / W, x_vectors = x_length / W;
        int64_t words = 0;
        auto place = [&](Packed<Weight>& m, int64_t groups, int64_t vectors) {
            m = {groups, vectors, words};
            words += m.words();
        };
        place(layers[0].past, (net.kernel_size - 1) * x_groups(), h_vectors);
        for (size_t l = 0; l < layers.size(); l++) {
            layers[l].x = Scale(net.layers[l].conv);
            place(layers[l].now, x_groups(), h_vectors);
            if (l + 1 == layers.size()) break;
            place(layers[l + 1].past, (net.kernel_size - 1) * x_groups(), h_vectors);
            place(layers[l].residual.weights, z_groups, x_vectors);
        }
        place(skip_sum.weights, z_all / GROUP<Weight>, skip_length / W);
        place(hidden.weights, round_up(net.skip, GROUP<Weight>) / GROUP<Weight>, head_length / W);
        place(output.weights, round_up(net.head, GROUP<Weight>) / GROUP<Weight>, round_up(outputs, W) / W);
        if (condition_channels)
            place(condition.weights, condition_length / GROUP<Weight>, added_length / W);
        arena = Buffer<uint32_t>(words);
    }

    void fill(const Network& net) {
        constants = Buffer<float>(
            2 * (int64_t(layers.size()) * (h_length + x_length) + skip_length + head_length + round_up(outputs, W) +
                 (condition_channels ? added_length : 0)));
        if (sizeof(Weight) == 1 && INPUT_OFFSET > 0) missing = Buffer<int32_t>(constants.size);
        int64_t used = 0;
        const Order conv = filter_beside_gate(net.gate), x = in_order(net.residual);
        for (size_t l = 0; l < layers.size(); l++) {
            const Matrix& m = net.layers[l].conv;
            int64_t past_columns = (net.kernel_size - 1) * net.residual;
            if (past_columns) layers[l].past.pack(m, conv, 0, past_columns, net.residual, arena.data);
            layers[l].now.pack(m, conv, past_columns, net.residual, net.residual, arena.data);
            layers[l].h = constants_of(m, conv, used);
            if (net.layers[l].residual.rows) fill(layers[l].residual, net.layers[l].residual, x, used);
        }
        fill_skip(net, used);
        fill(hidden, net.hidden, in_order(net.head), used);
        fill(output, net.output, in_order(outputs), used);
        if (condition_channels) fill_condition(net, used);
        initial = Buffer<float>(taps * CODES * x_length);
        for (int64_t row = 0; row < taps * CODES; row++)
            std::copy_n(net.initial + row * net.residual, net.residual, initial.data + row * x_length);
    }

    void fill(Dense<Weight>& dense, const Matrix& m, const Order& order, int64_t& used) {
        dense.weights.pack(m, order, 0, m.columns, m.columns, arena.data);
        dense.outputs = constants_of(m, order, used);
    }

    /// The skip matrix, with each layer's columns padded to z_length, as z is.
    void fill_skip(const Network& net, int64_t& used) {
        const Matrix& m = net.skip_sum;
        std::vector<Weight> wide(size_t(m.rows) * z_all);
        for (int64_t row = 0; row < m.rows; row++)
            for (int64_t l = 0; l < int64_t(layers.size()); l++)
                std::memcpy(wide.data() + row * z_all + l * z_length,
                            m.weights + (row * m.columns + l * net.gate) * sizeof(Weight), net.gate * sizeof(Weight));
        Matrix padded = m;
        padded.columns = z_all;
        padded.weights = reinterpret_cast<const uint8_t*>(wide.data());
        skip_sum.weights.pack(padded, in_order(m.rows), 0, z_all, z_all, arena.data);
        skip_sum.outputs = constants_of(m, in_order(m.rows), used);
    }

    /// Every layer's projection of a row of conditioning, rounded here as the file's matrices are.
    void fill_condition(const Network& net, int64_t& used) {
        const int64_t rows = int64_t(layers.size()) * 2 * net.gate, length = condition_length;
        std::vector<Weight> weights(size_t(rows * length));
        std::vector<float> scales(size_t(rows), 1.0f), biases(size_t(rows), 0.0f);
        for (int64_t r = 0; r < rows; r++) {
            const float* from = net.condition.data() + r * condition_channels;
            Weight* to = weights.data() + r * length;
            if constexpr (sizeof(Weight) == 1) {
                float most = 1e-30f;
                for (int64_t c = 0; c < condition_channels; c++) most = std::max(most, std::fabs(from[c]));
                scales[size_t(r)] = most / 127;
                for (int64_t c = 0; c < condition_channels; c++) to[c] = Weight(std::lrint(from[c] / most * 127));
            } else {
                for (int64_t c = 0; c < length; c += W)
                    store(to + c, load(from + c, int(std::min<int64_t>(condition_channels - c, W))));
            }
        }
        Order order;
        for (size_t l = 0; l < layers.size(); l++)
            for (int64_t channel : filter_beside_gate(net.gate))
                order.push_back(channel < 0 ? -1 : int64_t(l) * 2 * net.gate + channel);
        const uint8_t* bytes = reinterpret_cast<const uint8_t*>(weights.data());
        fill(condition, {rows, length, bytes, biases.data(), scales.data(), 1, CONDITION_ZERO}, order, used);
    }

    Affine constants_of(const Matrix& m, const Order& order, int64_t& used) {
        Affine at{used, used + int64_t(order.size())};
        for (size_t i = 0; i < order.size(); i++) {
            if (order[i] < 0) continue;
            float bias = m.bias[order[i]], scale = 1;
            if constexpr (sizeof(Weight) == 1) {
                // input bytes are offset by `input_zero`; what that adds to every sum is subtracted here
                int64_t total = 0;
                const int8_t* row = reinterpret_cast<const int8_t*>(m.weights) + order[i] * m.columns;
                for (int64_t c = 0; c < m.columns; c++) total += row[c];
                scale = m.scales[order[i]] * m.input_scale;
                bias = float(double(bias) - double(scale) * m.input_zero * double(total));
                if (INPUT_OFFSET > 0) missing.data[at.bias + i] = int32_t(INPUT_OFFSET * total);
            }
            constants.data[at.bias + i] = bias;
            constants.data[at.scale + i] = scale;
        }
        used += 2 * int64_t(order.size());
        return at;
    }
};

}  // namespace wavenet::ISA
