// Tests of wavenet.h, without Python, so that sanitizers can watch them.
//
//     interface_test [seed=0]

#include "../wavenet.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "example.h"

using namespace wavenet;

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
    if (holds) return;
    failures++;
    std::printf("FAILED %s\n", what);
}

struct Voice {
    wavenet_model* model;
    wavenet_player* player;

    explicit Voice(const Example& example) {
        char error[200] = "";
        model = wavenet_load_for("portable", example.bytes.data(), example.bytes.size(), error, sizeof error);
        expect(model != nullptr, error);
        player = wavenet_player_new(model, error, sizeof error);
        expect(player != nullptr, error);
    }
    ~Voice() {
        wavenet_model_free(model);  // the player does not need it
        wavenet_player_free(player);
    }
    std::vector<float> generate(size_t n) {
        std::vector<float> sound(n);
        expect(wavenet_generate(player, sound.data(), n) == 0, "sound is made");
        return sound;
    }
};

std::vector<float> hum(size_t n) {
    std::vector<float> sound(n);
    for (size_t i = 0; i < n; i++) sound[i] = float(0.5 * std::sin(0.1 * double(i)));
    return sound;
}

void check_loading(const Example& example) {
    char error[200];
    auto refused = [&](wavenet_model* model, const char* said) {
        expect(model == nullptr && std::string(error).find(said) != std::string::npos, error);
    };
    refused(wavenet_load("hello", 5, error, sizeof error), "this is not an exported WaveNet");
    refused(wavenet_load(example.bytes.data(), example.bytes.size() - 1, error, sizeof error), "checksum");
    refused(wavenet_load_for("mmx", example.bytes.data(), example.bytes.size(), error, sizeof error), "this machine runs auto");
    refused(wavenet_load_file("gone.wavenet", error, sizeof error), "gone.wavenet does not exist");
    refused(wavenet_load_file("/", error, sizeof error), "/ is a folder");
    refused(wavenet_load("hello", 5, error, 8), "this is");
    expect(std::string(error) == "this is", "an error text is cut to its place");
    expect(wavenet_load("hello", 5, nullptr, 0) == nullptr, "no error text is wanted");
    wavenet_model_free(nullptr), wavenet_player_free(nullptr);
    Voice voice(example);
    expect(wavenet_sample_rate(voice.model) == 16000 && wavenet_receptive_field(voice.model) > 0, "the model's shape");
    expect(std::string(wavenet_instruction_set(voice.model)) == "portable", "the instruction set");
    expect(wavenet_label_name(voice.model, -1) == nullptr && wavenet_label_value(voice.model, 99) == nullptr, "no such value");
}

void check_refusals(const Example& example) {
    Voice voice(example), other(example);
    wavenet_player* p = voice.player;
    const double nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
    const float wrong[] = {0, float(nan)};
    expect(wavenet_set_temperature(p, -1) && wavenet_set_temperature(p, nan) && wavenet_set_temperature(p, infinite), "temperature");
    expect(wavenet_set_top_k(p, -1) && wavenet_set_top_p(p, 0) && wavenet_set_top_p(p, 1.1) && wavenet_set_top_p(p, nan), "top");
    expect(wavenet_set_label(p, -1, 1) && wavenet_set_label(p, wavenet_label_count(voice.model), 1), "no such value");
    expect(wavenet_prime(p, wrong, 2), "a prime that is not finite");
    expect(voice.generate(40) == other.generate(40), "what is refused changes nothing");
}

void check_samples(const Example& example) {
    Voice whole(example), parts(example), other(example);
    const std::vector<float> sound = whole.generate(700);
    std::vector<float> joined;
    while (joined.size() < sound.size()) {
        std::vector<float> part = parts.generate(std::min<size_t>(size_t(between(0, 90)), sound.size() - joined.size()));
        joined.insert(joined.end(), part.begin(), part.end());
    }
    expect(joined == sound, "parts equal the whole");

    wavenet_restart(whole.player);
    expect(whole.generate(700) == sound, "a restart gives the same sound");
    wavenet_set_seed(other.player, 7);
    expect(other.generate(700) != sound, "another seed gives another sound");
    wavenet_set_temperature(whole.player, 0), wavenet_set_temperature(other.player, 0);
    wavenet_restart(whole.player), wavenet_restart(other.player);
    expect(whole.generate(99) == other.generate(99), "at temperature 0 the seed does not matter");
}

void check_primes(const Example& example) {
    Voice voice(example), other(example);
    const size_t field = size_t(wavenet_receptive_field(voice.model));
    const std::vector<float> silent = voice.generate(600), sound = hum(field + 50);
    wavenet_prime(voice.player, sound.data(), sound.size());
    const std::vector<float> primed = voice.generate(600);
    wavenet_prime(other.player, sound.data() + 50, field);
    expect(other.generate(600) == primed, "only the receptive field is heard");
    wavenet_restart(voice.player);
    expect(voice.generate(600) == primed, "a restart begins after the prime");
    for (int i = 0; i < 3; i++) wavenet_prime(voice.player, sound.data(), size_t(i));
    wavenet_prime(voice.player, nullptr, 0);
    expect(voice.generate(600) == silent, "the newest prime counts, and an empty one is silence");
    wavenet_prime(voice.player, sound.data(), 3);  // is never taken over
}

}  // namespace

int main(int count, char** arguments) {
    rng.seed(count > 1 ? unsigned(std::atoi(arguments[1])) : 0);
    for (uint32_t precision : {0, 1, 2}) {
        const Example example(precision);
        check_loading(example);
        check_refusals(example);
        check_samples(example);
        check_primes(example);
    }
    std::printf("%d failures\n", failures);
    return failures != 0;
}
