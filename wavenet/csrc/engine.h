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
    uint8_t* state;           // Engine::state_bytes() of them
    float* logits;            // (Engine::outputs) of the next code
    uint16_t* codes;          // (samples): read where codes are given, written where they are drawn
    const double* uniforms;   // (samples) in [0, 1); null where codes are given
    float* bits;              // (samples) of each code under the model; may be null
    const float* conditions;  // rows to add to each layer's h, in Engine::condition_order; may be null
    int64_t samples;
    const int32_t* rows = nullptr;   // (samples) which row goes with each sample; null: the first goes with all
    const float* without = nullptr;  // logits of the next stream, its twin, which hears the same codes under other
                                     // conditions; Sampling::guidance leads away from them; null: no guidance
};

/// Time on a clock that never goes back.
inline double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Measured times of a single stream, by which it runs on one thread or on two. Its samples are the same on both.
struct Pace {
    std::atomic<double> alone{0};     // seconds a sample on one thread; 0 before it is known
    std::atomic<double> measured{0};  // when that was
    std::atomic<double> saved{0};     // seconds that two threads have saved lately
    std::atomic<double> retry{0};     // when to try two threads again
    std::atomic<double> pause{0};     // seconds until then; 0 while two are faster
};

class Engine {
  public:
    explicit Engine(const Network& net)
        : precision(net.precision), sample_rate(net.sample_rate), receptive_field(net.receptive_field()),
          mixtures(net.mixtures), outputs(net.outputs()) {}
    virtual ~Engine() = default;

    const Precision precision;
    const int64_t sample_rate, receptive_field, mixtures, outputs;

    virtual size_t state_bytes() const = 0;

    /// Bytes of weights that one sample reads.
    virtual size_t weight_bytes() const = 0;

    /// The place in (layers, 2 gate) that each float of a row of conditions comes from; -1 for padding, which is 0.
    virtual std::vector<int64_t> condition_order() const = 0;

    /// Fills in a new stream's state and logits, as if it had heard silence for the whole receptive field under one row
    /// of conditions, which may be null.
    virtual void start(uint8_t* state, float* logits, const float* conditions) const = 0;

    /// Runs every stream for its own number of samples: draws codes where there are uniforms, otherwise hears the given
    /// ones. Streams share passes over the weights; threads share the streams. If no stream draws or wants bits, the
    /// output layers run only for the last sample.
    void run(const std::vector<Stream>& streams, const Sampling& sampling, int threads) const;

    /// Runs one stream on two threads. Ends early, after a sample, once it has taken more than `each` seconds a sample
    /// and `besides` seconds on top. Returns how many samples were run.
    virtual int64_t run_pair(Stream stream, const Sampling& sampling, double each, double besides) const = 0;

    /// Reads all weights once and does nothing with them: the least time that a sample can take.
    virtual uint64_t read_weights() const = 0;

    /// The most streams that share each pass over the weights.
    static constexpr int BATCH = 12;

  protected:
    virtual void run_batch(Stream* streams, int count, const Sampling& sampling) const = 0;

  private:
    /// One stream: on two threads while repeated measurements find them faster than one.
    void run_single(Stream stream, const Sampling& sampling) const;

    mutable Pace paces[2];  // without and with the output layers
};

}  // namespace wavenet
