// An engine runs a network sample by sample. engine.cpp implements it, and is compiled once for each instruction set.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "network.h"
#include "sampling.h"

namespace wavenet {

/// One stream of a run. Its state and logits belong to the caller, who can copy, store and continue them.
struct Stream {
    uint8_t* state;           // (Engine::state_bytes())
    float* logits;            // (Engine::outputs) of the next code
    uint16_t* codes;          // (samples): read if codes are given, written if they are drawn
    const double* uniforms;   // (samples) in [0, 1); null if codes are given
    float* bits;              // (samples) of each code under the model; may be null
    const float* rows;        // (samples, condition channels) of conditioning, row_stride apart; may be null
    int64_t samples;
    int64_t row_stride = 0;          // 0: one row for all samples
    const float* without = nullptr;  // logits of its twin, a later stream that hears the same codes under other
                                     // conditions; Sampling::guidance moves away from them; null: no guidance
    int place = 0;                   // in its batch; the engine sets it
};

/// Seconds on a clock that never goes back.
inline double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Measured times of a single stream, which decide whether it runs on one thread or two. Its samples do not differ.
struct Pace {
    std::atomic<double> alone{0};     // seconds per sample on one thread; 0 if not yet known
    std::atomic<double> measured{0};  // when `alone` was measured
    std::atomic<double> saved{0};     // seconds that two threads have recently saved
    std::atomic<double> retry{0};     // when to try two threads again
    std::atomic<double> pause{0};     // seconds until then; 0 while two are faster
};

class Engine {
  public:
    explicit Engine(const Network& net)
        : precision(net.precision), sample_rate(net.sample_rate), receptive_field(net.receptive_field()),
          mixtures(net.mixtures), outputs(net.outputs()), condition_channels(net.condition_channels), labels(net.labels) {}
    virtual ~Engine() = default;

    const Precision precision;
    const int64_t sample_rate, receptive_field, mixtures, outputs, condition_channels;
    const std::vector<LabelValue> labels;  // of the file; if there are any, their weights are the rows of conditioning

    virtual size_t state_bytes() const = 0;

    /// Bytes of weights that are read for one sample.
    virtual size_t weight_bytes() const = 0;

    /// Fills in a new stream's state and logits, as if it had heard silence for the whole receptive field under one row
    /// of conditioning, which may be null.
    virtual void start(uint8_t* state, float* logits, const float* row) const = 0;

    /// Runs every stream for its own number of samples: draws codes if it has uniforms, otherwise feeds it the given
    /// ones. Streams share passes over the weights, and threads divide the streams. If no stream draws codes or needs
    /// bits, the output layers run only for the last sample.
    void run(const std::vector<Stream>& streams, const Sampling& sampling, int threads) const;

    /// Runs one stream on two threads. Ends early, after a sample, once it has taken more than `each` seconds per
    /// sample plus `besides` seconds. Returns how many samples were run.
    virtual int64_t run_pair(Stream stream, const Sampling& sampling, double each, double besides) const = 0;

    /// Reads all weights once and does nothing else, to measure the least time that a sample can take.
    virtual uint64_t read_weights() const = 0;

    /// The most streams that share each pass over the weights.
    static constexpr int BATCH = 12;

  protected:
    virtual void run_batch(Stream* streams, int count, const Sampling& sampling) const = 0;

  private:
    /// Runs one stream, on two threads while repeated measurements find them faster than one.
    void run_single(Stream stream, const Sampling& sampling) const;

    mutable Pace paces[2];  // without and with the output layers
};

}  // namespace wavenet
