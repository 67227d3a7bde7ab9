// A whole matrix times the inputs of several streams, with its bias.

#pragma once

#include <algorithm>

#include "packing.h"

namespace wavenet::ISA {

/// Bias and scale of a block's lanes.
struct Lanes {
    const float *bias, *scale;
    const int32_t* missing;  // from the sums; see INPUT_OFFSET
};

template <class Weight>
inline Lanes lanes_of(const PackedNetwork<Weight>& net, const Affine& outputs, int64_t block) {
    return {net.constants.data + outputs.bias + block * W, net.constants.data + outputs.scale + block * W,
            INPUT_OFFSET > 0 ? net.missing.data + outputs.bias + block * W : nullptr};
}

template <class Weight>
inline F32 value(Sum<Weight> sum, const Lanes& lanes, int vector) {
    F32 bias = load(lanes.bias + vector * W);
    if (sizeof(Weight) == 1 && INPUT_OFFSET > 0) {
        Sum<Weight> missing;
        std::memcpy(&missing, lanes.missing + vector * W, sizeof missing);
        sum += missing;
    }
    if constexpr (sizeof(Weight) == 1)
        return __builtin_convertvector(sum, F32) * load(lanes.scale + vector * W) + bias;
    else
        return sum + bias;
}

/// Multiplies by a matrix, or one share of its blocks, and calls take(s, i, outputs i..i+W of stream s).
template <class Weight, class From, class Take>
void product(const PackedNetwork<Weight>& net, const Dense<Weight>& dense, int count, From from, Take take,
             int share = 0, int shares = 1) {
    const Packed<Weight>& m = dense.weights;
    auto cut = [&](int64_t at) { return std::min(round_up(m.vectors * at / shares, VECTORS), m.vectors); };
    const int64_t begin = cut(share), end = cut(share + 1);
    with_vectors(end - begin, [&](int64_t offset, auto v) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        const int64_t block = begin + offset;
        const uint32_t* weights = net.arena.data + m.offset + block * W * m.groups;
        const Lanes lanes = lanes_of(net, dense.outputs, block);
        with_streams(count, [&](int s, auto n) __attribute__((always_inline)) {
            constexpr int N = decltype(n)::value;
            Sum<Weight> sums[N][V];
            clear(sums);
            const uint32_t* inputs[N];
            for (int i = 0; i < N; i++) inputs[i] = reinterpret_cast<const uint32_t*>(from(s + i));
            multiply<Weight, V, N>(weights, m.groups, inputs, sums);
            for (int i = 0; i < N; i++)
#pragma GCC unroll 8
                for (int j = 0; j < V; j++) take(s + i, (block + j) * W, value<Weight>(sums[i][j], lanes, j));
        });
    });
}

}  // namespace wavenet::ISA
