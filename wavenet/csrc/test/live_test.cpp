// Measures sound in real time with a network, beside busy threads: how long wavenet_render takes, what it misses, and
// how long settings take to be heard.
//
//     live_test model.wavenet [seconds=60] [block=256] [busy=1] [latency=0.1]

#include "../wavenet.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "watched.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t KNOWN = 48;  // samples by which a sound is recognised

double since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

std::vector<float> hum(size_t n, double seed) {
    std::vector<float> sound(n);
    for (size_t i = 0; i < n; i++) sound[i] = float(0.3 * std::sin((0.05 + 0.01 * seed) * double(i)));
    return sound;
}

/// The value below which this share of the values lies.
double quantile(std::vector<double> values, double share) {
    if (values.empty()) return std::nan("");
    std::sort(values.begin(), values.end());
    return values[std::min(size_t(share * double(values.size())), values.size() - 1)];
}

/// A sound that was asked for at some sample, and how it begins.
struct Request {
    bool primed;
    size_t asked;
    std::vector<float> begins;
};

}  // namespace

int main(int count, char** arguments) {
    double settings[] = {60, 256, 1, 0.1};
    if (count < 2 || count > 6) return std::fprintf(stderr, "live_test model.wavenet [seconds] [block] [busy] [latency]\n"), 2;
    for (int i = 2; i < count; i++) settings[i - 2] = std::atof(arguments[i]);
    const auto [seconds, asked_block, busy, latency] = settings;
    const size_t block = size_t(asked_block);
    char error[256] = "";
    wavenet_model* model = wavenet_load_file(arguments[1], error, sizeof error);
    wavenet_player* live = model ? wavenet_player_new(model, error, sizeof error) : nullptr;
    wavenet_player* plain = model ? wavenet_player_new(model, error, sizeof error) : nullptr;
    if (!live || !plain) return std::fprintf(stderr, "%s\n", error), 1;
    const double rate = wavenet_sample_rate(model), duration = double(block) / rate;
    wavenet_set_latency(live, latency);

    std::vector<float> sound;
    auto speed_began = Clock::now();
    sound.resize(size_t(rate));
    wavenet_generate(plain, sound.data(), sound.size());
    const double speed = 1 / since(speed_began);

    // how the sound begins after a restart with each seed, and after each prime
    std::vector<Request> known;
    const size_t requests = size_t(seconds / 2);
    for (size_t i = 0; i < requests; i++) {
        known.push_back({i % 2 == 1, 0, std::vector<float>(KNOWN)});
        std::vector<float> prime = hum(size_t(wavenet_receptive_field(model)), double(i));
        wavenet_prime(plain, prime.data(), known[i].primed ? prime.size() : 0);
        wavenet_set_seed(plain, i + 1);
        wavenet_generate(plain, known[i].begins.data(), KNOWN);
    }

    std::atomic<bool> running{true};
    std::vector<std::thread> spinners;
    for (int i = 0; i < int(busy); i++)
        spinners.emplace_back([&] { while (running.load(std::memory_order_relaxed)) {} });

    sound.assign(size_t(seconds * rate) + block, 0);
    std::vector<double> taken(sound.size() / block);
    long allocated = 0, waited = 0;
    size_t next = 0, made = 0, missing = 0;
    wavenet_start(live);
    auto began = Clock::now();
    for (; made + block <= sound.size(); made += block) {
        const auto due = began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(double(made) / rate));
        std::this_thread::sleep_until(due);
        if (next < requests && double(made) / rate >= 2.0 * double(next) + 0.5) {
            std::vector<float> prime = hum(size_t(wavenet_receptive_field(model)), double(next));
            wavenet_set_seed(live, next + 1);
            wavenet_prime(live, prime.data(), known[next].primed ? prime.size() : 0);
            known[next++].asked = made;
        }
        const long allocated_before = allocations, waited_before = waits();
        const auto entered = Clock::now();
        missing += wavenet_render(live, sound.data() + made, block);
        taken[made / block] = since(entered) / duration;
        allocated += allocations - allocated_before, waited += waits() - waited_before;
    }
    running = false;
    for (std::thread& spinner : spinners) spinner.join();
    wavenet_stop(live);

    std::vector<double> plain_latency, primed_latency;
    size_t unheard = 0;
    for (const Request& request : known) {
        auto from = sound.begin() + long(request.asked);
        auto found = std::search(from, sound.end(), request.begins.begin(), request.begins.end());
        unheard += found == sound.end();
        if (found != sound.end()) (request.primed ? primed_latency : plain_latency).push_back(double(found - from) / rate * 1e3);
    }
    std::printf("%s on %s: %.2f x real time on its own; blocks of %zu samples = %.1f ms; %d busy threads; %.0f s\n", arguments[1],
                wavenet_instruction_set(model), speed, block, duration * 1e3, int(busy), seconds);
    std::printf("render: %.4f %% of a block's duration at 50 %%, %.4f %% at 99.9 %%, %.4f %% at most\n",
                100 * quantile(taken, 0.5), 100 * quantile(taken, 0.999), 100 * quantile(taken, 1));
    std::printf("missing: %zu samples = %.4f %%; render allocated or freed %ld times, and waited %ld times\n", missing,
                100 * double(missing) / double(sound.size()), allocated, waited);
    std::printf("latency: %.0f ms stated; from a setting to its sound %.1f ms at 50 %%, %.1f ms at most; from a prime %.1f and %.1f; "
                "%zu not found\n", wavenet_latency(live) * 1e3, quantile(plain_latency, 0.5), quantile(plain_latency, 1),
                quantile(primed_latency, 0.5), quantile(primed_latency, 1), unheard);
    wavenet_player_free(live), wavenet_player_free(plain), wavenet_model_free(model);
    return 0;
}
