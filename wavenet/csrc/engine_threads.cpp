// Streams over threads: each thread takes a batch of streams at a time and runs it to its end.

#include <algorithm>
#include <atomic>
#include <thread>

#include "engine.h"

namespace wavenet {

void Engine::run(const std::vector<Stream>& streams, const Sampling& sampling, int threads) const {
    int count = int(streams.size());
    if (count == 1 && threads > 1) return run_pair(streams[0], sampling);
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

}  // namespace wavenet
