// The pace of a sound that is steered while it is made: a setting changes only what is not made yet.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

#include "sound_file.h"

namespace wavenet {

class Pace {
  public:
    Pace(const WavFile& file, double rate) : file(file), rate(rate) {}

    /// Waits, after so many samples were written, until more are due: a moment before they are to be heard, and when the
    /// reader of a pipe has taken all but a moment of sound. Returns at once when `interrupted()`.
    template <class Interrupted>
    void wait(int64_t written, Interrupted interrupted) {
        const double before = elapsed();
        auto early = [&] {
            return double(written) / rate > MOMENT + FASTER * elapsed() || double(file.unread()) > MOMENT * rate;
        };
        while (early() && !interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        all_waits += elapsed() - before;
    }

    /// Seconds, in all.
    double waited() const { return all_waits; }

    /// Samples to be made at once.
    static int64_t part(double rate) { return std::clamp<int64_t>(int64_t(0.01 * rate), 1, 512); }

  private:
    static constexpr double MOMENT = 0.05;  // seconds
    static constexpr double FASTER = 1.001;  // than this clock, so that a sound card whose clock is faster never waits

    double elapsed() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); }

    const WavFile& file;
    double rate, all_waits = 0;
    std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
};

}  // namespace wavenet
