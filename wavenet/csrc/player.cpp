#include "player.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace wavenet {

static_assert(std::atomic<double>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);

namespace {

/// splitmix64 as a function of seed and position: wavenet/generation/splitmix.py
double uniform(uint64_t seed, uint64_t position) {
    auto mix = [](uint64_t z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    };
    return double(mix(mix(seed) + (position + 1) * 0x9E3779B97F4A7C15u) >> 11) * 0x1p-53;
}

/// The amplitudes of mu-law codes: wavenet/audio/mulaw.py
std::array<float, CODES> decoded() {
    std::array<float, CODES> table{};
    for (int code = 0; code < CODES; code++) {
        double y = double(code) / 255 * 2 - 1, magnitude = std::expm1(std::fabs(y) * std::log(256.0)) / 255;
        table[code] = float(std::copysign(magnitude, y));
    }
    return table;
}

float amplitude(const Engine& engine, uint16_t code) {
    static const std::array<float, CODES> table = decoded();
    return engine.mixtures ? float(code - STEPS) / float(STEPS) : table[code];
}

/// The code of an amplitude: wavenet/audio/encodings.py
uint16_t encode(const Engine& engine, float amplitude) {
    if (engine.mixtures) {
        double steps = std::floor(double(amplitude) * STEPS + STEPS + 0.5);
        return uint16_t(std::clamp(steps, 0.0, 2.0 * STEPS - 1));
    }
    double x = std::clamp(double(amplitude), -1.0, 1.0);
    double y = std::copysign(std::log1p(255 * std::fabs(x)) / std::log(256.0), x);
    return uint16_t((y + 1) / 2 * (CODES - 1) + 0.5);
}

}  // namespace

Player::Player(std::shared_ptr<const Engine> engine)
    : engine(engine), settings(engine->labels.size()), uniforms(CHUNK), drawn(CHUNK) {}

Player::~Player() {
    for (Prime* prime = handed; prime;) delete std::exchange(prime, prime->older);
}

void Player::prime(const float* samples, size_t count) {
    const size_t most = size_t(engine->receptive_field), heard = std::min(count, most);
    auto* prime = new Prime{std::vector<uint16_t>(heard), handed};
    std::transform(samples + count - heard, samples + count, prime->codes.begin(),
                   [this](float amplitude) { return encode(*engine, amplitude); });
    while (!handed.compare_exchange_weak(prime->older, prime)) {}
}

void Player::generate(float* out, int64_t samples) {
    while (hear(CHUNK)) {}
    for (int64_t made = 0; made < samples; made += CHUNK) draw(out + made, std::min(CHUNK, samples - made));
}

size_t Player::state_size() const {
    return (engine->state_bytes() + 7) / 8 * 8 + size_t(engine->outputs) * sizeof(float) + sizeof position;
}

void Player::save(uint8_t* place) {
    while (hear(CHUNK)) {}
    const auto put = [&](const void* from, size_t size) { place = std::copy_n(static_cast<const uint8_t*>(from), size, place); };
    put(sound.memory.data(), sound.memory.size() * sizeof(uint64_t));
    put(sound.logits.data(), sound.logits.size() * sizeof(float));
    put(&position, sizeof position);
}

void Player::restore(const uint8_t* place) {
    while (hear(CHUNK)) {}
    const auto take = [&](void* to, size_t size) {
        std::copy_n(place, size, static_cast<uint8_t*>(to));
        place += size;
    };
    take(sound.memory.data(), sound.memory.size() * sizeof(uint64_t));
    take(sound.logits.data(), sound.logits.size() * sizeof(float));
    take(&position, sizeof position);
}

/// Whether a thread wants the sound to begin anew; takes over its prime.
bool Player::ordered() {
    const uint64_t restarts = settings.restarts;
    bool anew = std::exchange(obeyed, restarts) != restarts;
    if (Prime* newest = handed.exchange(nullptr)) {
        codes = std::move(newest->codes);
        primed = {};
        anew = true;
        while (newest) delete std::exchange(newest, newest->older);
    }
    return anew;
}

/// Puts the next sound at its beginning, or at the end of its prime if that was heard before.
void Player::begin() {
    next_weights = weights();
    if (!primed.memory.empty() && next_weights == primed_weights) {
        next = primed;
        heard = int64_t(codes.size());
        return;
    }
    next.memory.resize((engine->state_bytes() + 7) / 8);
    next.logits.resize(size_t(engine->outputs));
    engine->start(reinterpret_cast<uint8_t*>(next.memory.data()), next.logits.data(), row(next_weights));
    heard = 0;
}

bool Player::hear(int64_t samples) {
    if (!hearing) hearing = ordered() || !begun();
    if (!hearing) return false;
    if (heard < 0) begin();
    const int64_t part = std::min(samples, int64_t(codes.size()) - heard);
    if (part > 0) {
        run(next, codes.data() + heard, nullptr, part, next_weights);
        heard += part;
        if (heard < int64_t(codes.size())) return true;
        primed = next, primed_weights = next_weights;
    }
    std::swap(sound, next);
    position = 0;
    hearing = false;
    heard = -1;
    return false;
}

void Player::draw(float* out, int64_t samples) {
    const uint64_t seed = settings.seed;
    for (int64_t i = 0; i < samples; i++) uniforms[size_t(i)] = uniform(seed, uint64_t(position + i));
    run(sound, drawn.data(), uniforms.data(), samples, weights());
    for (int64_t i = 0; i < samples; i++) out[i] = amplitude(*engine, drawn[size_t(i)]);
    position += samples;
}

void Player::run(State& state, uint16_t* codes, const double* uniforms, int64_t samples, const Weights& weights) const {
    Stream stream{reinterpret_cast<uint8_t*>(state.memory.data()), state.logits.data(), codes, uniforms, nullptr,
                  row(weights), samples};
    engine->run({stream}, {settings.temperature, settings.top_k, settings.top_p}, 1);
}

Player::Weights Player::weights() const { return {settings.weights.begin(), settings.weights.end()}; }

/// These weights as a row of conditioning, or none for a sound without labels.
const float* Player::row(const Weights& weights) {
    bool labelled = std::any_of(weights.begin(), weights.end(), [](float weight) { return weight != 0; });
    return labelled ? weights.data() : nullptr;
}

}  // namespace wavenet
