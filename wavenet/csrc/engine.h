// An engine runs a network sample by sample; engine.cpp is the algorithm, compiled once per instruction set.

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

/// One stream's share of a run. Its state and logits are the caller's, so they can be copied, stored and taken up again.
struct Stream {
    uint8_t* state;           // Engine::state_bytes() of them
    float* logits;            // (Engine::outputs) of the next code
    uint16_t* codes;          // (samples): read where codes are given, written where they are drawn
    const double* uniforms;   // (samples) in [0, 1); null where codes are given
    float* bits;              // (samples) of each code under the model; may be null
    const float* conditions;  // rows that are added to each layer's h, in Engine::condition_order; may be null
    int64_t samples;
    const int32_t* rows = nullptr;   // (samples) which row goes with each sample; null where the first goes with all
    const float* without = nullptr;  // logits of the next stream, which hears the same codes under other conditions and
                                     // which Sampling::guidance leads away from; null draws from the stream's own
};

/// On a clock that only goes forward.
inline double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What a single stream was found to take, by which it is given one thread or two. Times alone: its samples are the same.
struct Pace {
    std::atomic<double> alone{0};     // seconds a sample on one thread; 0 before it is known
    std::atomic<double> measured{0};  // when that was
    std::atomic<double> saved{0};     // seconds that two threads have saved lately
    std::atomic<double> retry{0};     // when two threads are to be tried again
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

    /// Where each float of a row of conditions lies in (layers, 2 gate): the kernel's own order; -1 where nothing does.
    virtual std::vector<int64_t> condition_order() const = 0;

    /// The state of a stream that has heard silence under these conditions, which may be null, for as long as the
    /// network remembers, and its logits.
    virtual void start(uint8_t* state, float* logits, const float* conditions) const = 0;

    /// Runs every stream for its own number of samples: draws a code where there are uniforms, otherwise hears the given
    /// ones. Streams share passes over the weights; threads share the streams. Where no stream draws or wants bits, the
    /// output layers run for the last sample alone.
    void run(const std::vector<Stream>& streams, const Sampling& sampling, int threads) const;

    /// One stream on two threads, which hand to each other without locks: the first goes through the layers, the second
    /// works out the past of the next sample behind it, and they halve the output layers. Ends early, after
    /// a sample, where they have taken more than so many seconds a sample and so many besides. Returns how many were run.
    virtual int64_t run_pair(Stream stream, const Sampling& sampling, double each, double besides) const = 0;

    /// Reads all weights once and does nothing with them: the least that a sample can take.
    virtual uint64_t read_weights() const = 0;

    /// The most streams that share each pass over the weights.
    static constexpr int BATCH = 12;

  protected:
    virtual void run_batch(Stream* streams, int count, const Sampling& sampling) const = 0;

  private:
    /// One stream on two threads while they are found to be faster than one, which is measured again and again.
    void run_single(Stream stream, const Sampling& sampling) const;

    mutable Pace paces[2];  // without and with output layers
};

}  // namespace wavenet
