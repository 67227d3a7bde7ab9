// A player makes the sound of one stream. Its settings may be set from any thread; one thread makes the sound.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine.h"

namespace wavenet {

/// What a player obeys. Every number is atomic by itself, so that no thread ever waits for another.
struct Settings {
    explicit Settings(size_t values) : weights(values) {
        for (std::atomic<float>& weight : weights) weight = 0;
    }

    std::atomic<double> temperature{1}, top_p{1};
    std::atomic<int> top_k{0};
    std::atomic<uint64_t> seed{0};
    std::vector<std::atomic<float>> weights;  // of each labelled value
    std::atomic<uint64_t> restarts{0};
};

class Player {
  public:
    explicit Player(std::shared_ptr<const Engine> engine);
    ~Player();

    const std::shared_ptr<const Engine> engine;
    Settings settings;

    /// Begins anew after these amplitudes, or after silence if there are none; any thread may call it.
    void prime(const float* samples, size_t count);

    /// The next samples, with the settings of now. Hears a new prime first.
    void generate(float* out, int64_t samples);

    /// Hears the next `samples` of a new prime, while `draw` continues the old sound. Returns whether it is still hearing.
    bool hear(int64_t samples);

    /// The next samples of the present sound.
    void draw(float* out, int64_t samples);

    /// Bytes of a saved place in the sound.
    size_t state_size() const;

    /// Writes this place in the sound, or continues from one that was written. Both hear a new prime first.
    void save(uint8_t* place);
    void restore(const uint8_t* place);

    /// Whether there is a sound to continue.
    bool begun() const { return !sound.memory.empty(); }

    /// The most samples that share one look at the settings.
    static constexpr int64_t CHUNK = 512;

  private:
    using Weights = std::vector<float>;

    /// A stream between two samples.
    struct State {
        std::vector<uint64_t> memory;
        std::vector<float> logits;
    };

    /// Codes that are handed from the threads that set a prime to the one that makes sound.
    struct Prime {
        std::vector<uint16_t> codes;
        Prime* older;
    };

    bool ordered();
    void begin();
    void run(State& state, uint16_t* codes, const double* uniforms, int64_t samples, const Weights& weights) const;
    Weights weights() const;
    static const float* row(const Weights& weights);

    std::atomic<Prime*> handed{nullptr};  // newest first
    std::vector<uint16_t> codes;          // of the present prime
    uint64_t obeyed = 0;                  // restarts
    State sound;                          // what `draw` continues
    int64_t position = 0;                 // samples since the beginning of that sound
    State next;                           // what is to follow, while it hears the prime
    Weights next_weights;
    bool hearing = false;
    int64_t heard = -1;    // codes of the prime; -1 before `begin`
    State primed;          // after the whole prime under these weights, so that restarts take no time
    Weights primed_weights;
    std::vector<double> uniforms;
    std::vector<uint16_t> drawn;
};

}  // namespace wavenet
