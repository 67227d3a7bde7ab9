// The passes of a training step between its matrix products; training.cpp implements them for each instruction set.

#pragma once

#include <cstdint>

#include "types.h"

namespace wavenet {

/// z = tanh(filter half of h + bias) * sigmoid(gate half), h (batch, steps, 2 channels) -> z (batch, steps, channels); the last
/// `scored` steps are also written to (batch, scored, stride), where the layers' z lie side by side.
struct Gate {
    int64_t batch, steps, channels, scored, stride;
};

/// The residual stream between two layers: x (batch, dropped + steps, channels), whose first `dropped` steps end here,
/// plus what a layer adds (batch, steps, channels), and the next layer's taps of the sum, side by side, oldest first:
/// (batch, steps - (kernel_size - 1) dilation, width). Columns from kernel_size * channels on are not written.
struct Join {
    int64_t batch, steps, channels, dropped, kernel_size, dilation, width;
};

/// One instruction set's passes over arrays of T. Pointers may be null only where stated.
template <class T>
struct Passes {
    /// bias (2 channels) may be null, here and below.
    void (*gate_forward)(const Gate&, const T* h, const float* bias, T* z, T* gated, int threads);
    /// d_z may be null: the last layer has no residual projection. d_bias (2 channels) is the sum of d_h over the rows.
    void (*gate_backward)(const Gate&, const T* h, const float* bias, const T* d_z, const T* d_gated, T* d_h,
                          float* d_bias, int threads);
    /// residual is null before the first layer; joined is then not written. bias (channels) belongs to the residual.
    void (*join_forward)(const Join&, const float* x, const T* residual, const float* bias, float* joined, T* taps,
                         int threads);
    /// d_above (batch, steps - context, channels) is null above the last layer. d_joined and d_residual hold the
    /// same numbers in two types; d_bias (channels) is their sum over the rows.
    void (*join_backward)(const Join&, const float* d_above, const T* d_taps, float* d_joined, T* d_residual,
                          float* d_bias, int threads);
    /// Sum of -ln softmax(logits)[target] over rows of 256 whose target is not negative, and its gradient.
    double (*cross_entropy)(int64_t rows, const T* logits, const int64_t* targets, T* gradient, int threads);
};

}  // namespace wavenet
