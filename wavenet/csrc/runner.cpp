#include "runner.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>

#include "interface.h"

namespace wavenet {

namespace {

constexpr double CHUNK_SECONDS = 0.004;

}  // namespace

Runner::Runner(Player& player)
    : player(player), rate(double(player.engine->sample_rate)),
      chunk(size_t(std::clamp(rate * CHUNK_SECONDS, 1.0, double(Player::CHUNK)))), ring(size_t(2 * LONGEST * rate) + 1) {}

/// Samples to be made ahead: two blocks at least, so that one is there when the reader has just taken the other.
size_t Runner::goal() const {
    return std::min(std::max({size_t(wanted * rate), 2 * block, 2 * chunk}), ring.size());
}

void Runner::start() {
    if (running) return;
    running = true;
    try {
        for (const uint64_t full = written + goal(); written < full && round();) {}
        thread = std::thread([this] { work(); });
    } catch (...) {
        running = false;
        throw;
    }
}

void Runner::stop() {
    running = false;
    if (thread.joinable()) thread.join();
}

// The reader does not wake the thread, which looks for room in the ring by itself: every way to wake a thread may enter the
// system from the audio thread, and some take locks there. The look costs microseconds, as rarely as a chunk is played,
// and the ring is much longer.
void Runner::work() {
    while (running) {
        bool busy = false;
        try {
            busy = round();
        } catch (const std::bad_alloc&) {  // nothing was made; the reader counts what it misses
        }
        if (!busy) std::this_thread::sleep_for(std::chrono::duration<double>(double(chunk) / rate));
    }
}

/// Hears some of a new prime and makes some sound if there is room. While a prime is heard, the old sound goes on, but may
/// only fill half of the ring: the other half is time for the prime. Returns whether there was anything to do.
bool Runner::round() {
    const bool hearing = player.hear(int64_t(chunk));
    if (!player.begun() || ahead() + chunk > (hearing ? std::max(goal() / 2, chunk) : goal())) return hearing;
    float made[Player::CHUNK];
    player.draw(made, int64_t(chunk));
    const size_t place = written % ring.size(), first = std::min(chunk, ring.size() - place);
    std::copy_n(made, first, ring.data() + place);
    std::copy_n(made + first, chunk - first, ring.data());
    written.store(written + chunk, std::memory_order_release);
    return true;
}

size_t Runner::render(float* out, size_t samples) {
    const uint64_t from = taken.load(std::memory_order_relaxed), there = written.load(std::memory_order_acquire) - from;
    const size_t count = size_t(std::min<uint64_t>(samples, there));
    const size_t place = from % ring.size(), first = std::min(count, ring.size() - place);
    std::copy_n(ring.data() + place, first, out);
    std::copy_n(ring.data(), count - first, out + first);
    taken.store(from + count, std::memory_order_release);
    std::fill_n(out + count, samples - count, 0.0f);
    if (samples > block) block = samples;
    if (running) missing += samples - count;
    return samples - count;
}

}  // namespace wavenet

int wavenet_start(wavenet_player* p) {
    try {
        p->runner.start();
    } catch (const std::bad_alloc&) {
        return -1;
    } catch (const std::system_error&) {
        return -1;
    }
    return 0;
}

size_t wavenet_render(wavenet_player* p, float* out, size_t n) { return p->runner.render(out, n); }

uint64_t wavenet_underruns(const wavenet_player* p) { return p->runner.underruns(); }

int wavenet_set_latency(wavenet_player* p, double seconds) {
    if (!(seconds >= wavenet::Runner::SHORTEST && seconds <= wavenet::Runner::LONGEST)) return -1;
    p->runner.set_latency(seconds);
    return 0;
}

double wavenet_latency(const wavenet_player* p) { return p->runner.latency(); }

void wavenet_stop(wavenet_player* p) { p->runner.stop(); }
