// One stream on two threads, which synchronise without locks. The first goes through the layers. The second follows it
// and computes each layer's past sums for the next sample. Each computes half of the output layers.

#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "step.h"

namespace wavenet::ISA {

/// Tells the processor that this loop only waits.
inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// Seconds that a thread spins while it waits, and that a pair may lose before it ends.
constexpr double GRACE = 1e-4;

/// Waits until the counter has reached the value; returns whether that happened while the thread spun. Otherwise the
/// other thread has lost its core, or both share this one: sleeping then frees the core, which spinning or yielding
/// would not do on a busy machine.
inline bool wait(const std::atomic<int64_t>& counter, int64_t value) {
    auto reached = [&] { return counter.load(std::memory_order_acquire) >= value; };
    for (int i = 0; i < 64; i++, relax())
        if (reached()) return true;
    for (const double until = seconds() + GRACE; seconds() < until;)
        for (int i = 0; i < 64; i++, relax())
            if (reached()) return true;
    while (!reached()) std::this_thread::sleep_for(std::chrono::microseconds(20));
    return false;
}

template <class Weight>
class Pair {
  public:
    Pair(const PackedNetwork<Weight>& net, const StateLayout<Weight>& layout, const Stream& stream,
         const Sampling& sampling)
        : stream(stream), sampling(sampling), layers(int64_t(net.layers.size())), events(layers + 1 + HEAD_STAGES),
          step(net, layout, 1, true), end(stream.samples) {
        step.attach(0, stream.state);
    }

    /// Ends early, after a sample, once it has taken more than `each` seconds per sample plus `besides` seconds.
    /// Returns how many samples were run.
    int64_t run(double each, double besides) {
        for (int64_t l = 0; l < layers; l++) step.past(size_t(l), 1);
        std::thread helper([this] { follow(); });
        const double began = seconds();
        int64_t t = 0;
        while (t < stream.samples) {
            bool at_once = lead(t);
            t++;
            if ((!at_once || t % 16 == 0) && seconds() - began > double(t) * each + besides + GRACE) break;
        }
        if (t < stream.samples) {
            end.store(t, std::memory_order_relaxed);
            first.store((t + 1) * events, std::memory_order_release);
        }
        helper.join();
        return t;
    }

  private:
    static constexpr int HEAD_STAGES = Step<Weight>::HEAD_STAGES;

    /// The first thread's part of sample t; returns whether it never had to sleep.
    bool lead(int64_t t) {
        step.tell(&stream, 1, t);
        step.begin(stream, 0, t, sampling);
        first.store(t * events + 1, std::memory_order_release);
        for (int64_t l = 0; l < layers; l++) {
            step.gate(size_t(l), 1);
            if (l + 1 < layers) step.residual(size_t(l), 1);
            first.store(t * events + l + 2, std::memory_order_release);
        }
        bool at_once = head_half(t, 0, first, second);
        at_once &= wait(second, (t + 1) * events);
        return at_once;
    }

    /// The second thread's part of all samples.
    void follow() {
        for (int64_t t = 0; t < stream.samples; t++) {
            for (int64_t l = 0; l < layers; l++) {
                wait(first, t * events + l + 2);  // now the layer has used its sums, and its ring holds its x
                if (t >= end.load(std::memory_order_relaxed)) return;
                step.past(size_t(l), 1);
            }
            head_half(t, 1, second, first);
        }
    }

    /// One half of the output layers; each stage needs both halves of the previous one.
    bool head_half(int64_t t, int share, std::atomic<int64_t>& mine, const std::atomic<int64_t>& other) {
        bool at_once = true;
        for (int stage = 0; stage < HEAD_STAGES; stage++) {
            if (stage > 0) at_once &= wait(other, t * events + layers + 1 + stage);
            if (step.needs_logits(stream, t)) step.head_stage(&stream, 1, stage, share, 2);
            mine.store(t * events + layers + 2 + stage, std::memory_order_release);
        }
        return at_once;
    }

    Stream stream;
    const Sampling& sampling;
    const int64_t layers, events;  // events of one sample: its begin, its layers, its output stages
    Step<Weight> step;
    // how many events each thread has finished
    alignas(64) std::atomic<int64_t> first{0};
    alignas(64) std::atomic<int64_t> second{0};
    std::atomic<int64_t> end;  // the first thread may lower it between two samples
};

}  // namespace wavenet::ISA
