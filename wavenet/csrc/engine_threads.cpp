// Divides streams among threads: each thread takes a batch of streams at a time and runs it to its end. A single stream
// runs on two threads while they are faster than one.

#include "engine.h"

#if defined(__wasm__)  // one thread, in which one stream runs

namespace wavenet {

void Engine::run(const std::vector<Stream>& streams, const Sampling& sampling, int) const {
    for (Stream stream : streams) run_batch(&stream, 1, sampling);
}

}  // namespace wavenet

#else

#include <algorithm>
#include <atomic>
#include <thread>

namespace wavenet {

void Engine::run(const std::vector<Stream>& streams, const Sampling& sampling, int threads) const {
    int count = int(streams.size());
    if (count == 1 && threads > 1) return run_single(streams[0], sampling);
    threads = std::max(1, std::min(threads, count));
    int batch = std::min((count + threads - 1) / threads, BATCH);
    batch += batch % 2;  // guided streams and their twins stay together
    std::vector<Stream> shared = streams;
    std::atomic<int> next{0};
    auto work = [&] {
        for (int first; (first = next.fetch_add(batch)) < count;)
            run_batch(shared.data() + first, std::min(batch, count - first), sampling);
    };
    std::vector<std::thread> helpers;
    for (int i = 1; i < threads; i++) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
}

namespace {

constexpr int64_t PART = 64;           // samples in one measurement on one thread
constexpr double MEASURE_AFTER = 0.25;  // seconds until one thread is measured again, since the machine's speed drifts
constexpr double LONGEST_PAUSE = 2;     // seconds
constexpr double PAUSE = 50;            // times the loss of a try on two threads, which bounds the loss at 2 %
constexpr double MOST_SAVED = 0.02;     // most saved seconds that may offset a later loss, such as a short interruption

Stream from(Stream stream, int64_t samples) {
    stream.codes += samples;
    if (stream.uniforms) stream.uniforms += samples;
    if (stream.bits) stream.bits += samples;
    if (stream.rows) stream.rows += samples * stream.row_stride;
    stream.samples -= samples;
    return stream;
}

}  // namespace

void Engine::run_single(Stream stream, const Sampling& sampling) const {
    Pace& pace = paces[stream.uniforms || stream.bits];
    while (stream.samples > 0) {
        const double began = seconds(), alone = pace.alone;
        if (began < pace.retry || began > pace.measured + MEASURE_AFTER) {
            Stream part = stream;
            part.samples = std::min(stream.samples, PART);
            run_batch(&part, 1, sampling);
            stream = from(stream, part.samples);
            // an interruption makes a measurement longer, never shorter
            const double ended = seconds(), taken = (ended - began) / double(part.samples);
            pace.alone = alone > 0 ? std::min(taken, alone * 1.1) : taken;
            pace.measured = ended;
        } else {
            const double saved = pace.saved;
            const int64_t done = run_pair(stream, sampling, alone, saved);
            stream = from(stream, done);
            const double ended = seconds(), left = std::min(saved + double(done) * alone - (ended - began), MOST_SAVED);
            pace.saved = std::max(left, 0.0);
            pace.pause = left < 0 ? std::min(std::max(2 * pace.pause, -left * PAUSE), LONGEST_PAUSE) : 0;
            pace.retry = ended + pace.pause;
        }
    }
}

}  // namespace wavenet

#endif
