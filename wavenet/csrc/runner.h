// A runner makes a player's sound ahead of time, in a thread of its own, so that an audio thread can take it without
// waiting. Between them lies a ring of samples with one writer and one reader.

#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "player.h"

namespace wavenet {

class Runner {
  public:
    explicit Runner(Player& player);
    ~Runner() { stop(); }

    /// Fills the ring, then starts the thread. Throws std::bad_alloc or std::system_error.
    void start();

    /// Ends the thread. The ring keeps its samples.
    void stop();

    bool started() const { return running; }

    /// Takes the next samples; silence stands for those that are not there. Returns how many were missing.
    size_t render(float* out, size_t samples);

    /// How many samples were missing while the thread was to make them.
    uint64_t underruns() const { return missing; }

    /// Seconds of sound that the ring holds.
    double latency() const { return double(goal()) / rate; }
    void set_latency(double seconds) { wanted = seconds; }

    static constexpr double SHORTEST = 0.01, LONGEST = 1;  // seconds

  private:
    size_t goal() const;
    size_t ahead() const { return size_t(written.load(std::memory_order_relaxed) - taken.load(std::memory_order_acquire)); }
    bool round();
    void work();

    Player& player;
    const double rate;
    const size_t chunk;  // samples made at once
    std::vector<float> ring;
    std::atomic<double> wanted{0.1};  // latency in seconds
    std::atomic<size_t> block{0};     // the longest that was rendered
    std::atomic<bool> running{false};
    std::thread thread;
    // samples since the beginning, each counted by one thread and on a cache line of its own
    alignas(64) std::atomic<uint64_t> written{0};
    alignas(64) std::atomic<uint64_t> taken{0};
    std::atomic<uint64_t> missing{0};
};

}  // namespace wavenet
