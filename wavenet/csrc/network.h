// An exported network: its shape, and its weights in the precision of their use. FORMAT.md describes the bytes.

#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace wavenet {

constexpr int CODES = 256;
constexpr int ZERO = 128;  // the code of silence
constexpr int STEPS = 32768;  // 16-bit steps to amplitude 1, and the 16-bit code of silence

enum class Precision : uint32_t { float32, bfloat16, int8 };

/// What is wrong with a file, in one line.
struct FormatError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// y = W x + bias. In int8, W = scales[row] * weights, and x = input_scale * (q - input_zero) for bytes q.
struct Matrix {
    int64_t rows = 0, columns = 0;
    const uint8_t* weights = nullptr;  // (rows, columns) of the network's precision
    const float* bias = nullptr;       // (rows)
    const float* scales = nullptr;     // (rows), int8 only
    float input_scale = 1;
    int input_zero = 0;
};

/// One gated residual block; the last has no residual projection (0 rows).
struct Layer {
    int64_t dilation;
    Matrix conv;      // (2 gate, kernel_size * residual), oldest tap's columns first
    Matrix residual;  // (residual, gate)
};

/// A value of a label, such as "june" of the label "speaker". Both names are UTF-8, not empty, and hold no zero byte.
struct LabelValue {
    std::string label, value;
};

constexpr float MOST_WEIGHT = 10;  // of a label value in a mix, either way; whoever takes weights refuses larger ones

struct Network {
    Precision precision;
    int64_t sample_rate, initial_taps, kernel_size, residual, gate, skip, head;
    int64_t mixtures;      // logistics over 16-bit codes, or 0: a softmax over the mu-law codes
    const float* initial;  // (initial_taps, 256, residual): what each of the last codes adds to the first layer's input
    std::vector<Layer> layers;
    Matrix skip_sum, hidden, output;
    std::vector<LabelValue> labels;  // that the file can be steered by: a row of conditioning holds their weights, in
                                     // this order. All 0: no label. The values of a label stand side by side
    int64_t condition_channels = 0;  // of a row of conditioning; 0: none
    std::vector<float> condition;    // (layers, 2 gate, channels): every layer's projection of a row

    int64_t receptive_field() const;
    uint64_t state_bytes() const;  // of a stream's past inputs, each padded to the widest vectors
    int64_t outputs() const { return mixtures ? 3 * mixtures : CODES; }

    /// Sets the projections of rows of conditioning, (rows, channels), in place of the file's labels; rows is
    /// layers * 2 gate, or it throws FormatError.
    void condition_on(const float* weights, int64_t rows, int64_t channels);

    /// Checks everything before it is used. Throws FormatError.
    static Network parse(const uint8_t* bytes, size_t size);

    Network(Network&&) = default;
    Network& operator=(Network&&) = default;

  private:
    Network() = default;
    std::vector<float> storage;  // the file's bytes, aligned for float32
};

}  // namespace wavenet
