// Tests of wavenet.h, without Python, so that sanitizers can watch them.
//
//     interface_test [seed=0]

#include "../wavenet.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include "example.h"
#include "watched.h"

using namespace wavenet;

namespace {

std::atomic<int> failures{0};

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

void check_places(const Example& example) {
    Voice voice(example), other(example);
    std::vector<uint8_t> place(wavenet_state_size(voice.player)), beginning(place.size());
    const std::vector<float> sound = hum(50);
    wavenet_prime(voice.player, sound.data(), sound.size());
    expect(wavenet_save(voice.player, beginning.data()) == 0, "the place after a prime");
    const std::vector<float> first = voice.generate(300);
    wavenet_save(voice.player, place.data());
    const std::vector<float> second = voice.generate(600);
    wavenet_restore(voice.player, place.data());
    expect(voice.generate(600) == second, "the same follows again");
    wavenet_restore(voice.player, place.data()), wavenet_set_temperature(voice.player, 0.5);
    expect(voice.generate(600) != second, "other settings make another sound");
    wavenet_restore(other.player, beginning.data());
    expect(other.generate(300) == first, "another player of the model takes the place up");
}

void check_labels(const Example& example) {
    Voice voice(example), plain(example);
    const int values = wavenet_label_count(voice.model);
    expect(size_t(values) == example.labels.size(), "as many label values as in the file");
    const std::vector<float> unlabelled = plain.generate(300);
    for (int i = 0; i < values; i++) {
        const LabelValue& one = example.labels[size_t(i)];
        expect(wavenet_label_name(voice.model, i) == one.label && wavenet_label_value(voice.model, i) == one.value, "names");
        expect(wavenet_set_label(voice.player, i, 11) && wavenet_set_label(voice.player, i, std::nan("")), "a weight's range");
        wavenet_set_label(voice.player, i, 1);
        wavenet_restart(voice.player);
        const std::vector<float> one_value = voice.generate(300);
        expect(one_value != unlabelled, "a label changes the sound");
        wavenet_set_label(voice.player, i, 0.5), wavenet_set_label(voice.player, (i + 1) % values, -2);
        wavenet_restart(voice.player);
        expect(values == 1 || voice.generate(300) != one_value, "a mix changes the sound");
        wavenet_set_label(voice.player, i, 0), wavenet_set_label(voice.player, (i + 1) % values, 0);
        wavenet_restart(voice.player);
        expect(voice.generate(300) == unlabelled, "weights of 0 are a sound without labels");
    }
    const std::vector<float> sound = hum(30);
    wavenet_prime(voice.player, sound.data(), sound.size()), wavenet_prime(plain.player, sound.data(), sound.size());
    const std::vector<float> primed = plain.generate(300);
    voice.generate(1);
    if (values) wavenet_set_label(voice.player, 0, 1), wavenet_restart(voice.player), voice.generate(10);
    if (values) wavenet_set_label(voice.player, 0, 0);
    wavenet_restart(voice.player);
    expect(voice.generate(300) == primed, "a prime is heard again with the weights of now");
}

constexpr size_t BLOCK = 80;  // 5 ms

void wait_a_block() { std::this_thread::sleep_for(std::chrono::microseconds(5000)); }

/// Appends rendered samples, without the silence of missing ones.
void render(wavenet_player* p, size_t n, std::vector<float>& sound) {
    const size_t before = sound.size();
    sound.resize(before + n);
    const size_t missing = wavenet_render(p, sound.data() + before, n);
    for (size_t i = n - missing; i < n; i++) expect(sound[before + i] == 0, "missing samples are silence");
    sound.resize(before + n - missing);
}

void check_real_time(const Example& example) {
    Voice live(example), plain(example);
    const std::vector<float> expected = plain.generate(6000);
    std::vector<float> sound;
    render(live.player, 10, sound);
    expect(sound.empty() && wavenet_underruns(live.player) == 0, "nothing is rendered before the start");
    expect(wavenet_latency(live.player) == 0.1, "the latency at first");
    expect(wavenet_set_latency(live.player, 0.001) && wavenet_set_latency(live.player, 2) && wavenet_set_latency(live.player, std::nan("")),
           "latencies are bounded");
    expect(wavenet_start(live.player) == 0 && wavenet_start(live.player) == 0, "the player starts");
    float one;
    expect(wavenet_generate(live.player, &one, 1) == -1 && one == 0, "no sound on demand in real time");
    for (int i = 0; i < 30; i++) render(live.player, BLOCK, sound), wait_a_block();
    wavenet_stop(live.player);
    expect(wavenet_set_latency(live.player, 0.2) == 0 && wavenet_start(live.player) == 0, "the player starts again");
    for (int i = 0; i < 20; i++) render(live.player, BLOCK, sound);
    expect(sound.size() > 2000 && std::equal(sound.begin(), sound.end(), expected.begin()), "sound in real time is that on demand");
    std::vector<float> large(4000);
    wavenet_render(live.player, large.data(), large.size());
    expect(wavenet_latency(live.player) == 0.5, "the latency grows to two blocks");
}

/// From the call of a setting to the first sample that it changes.
void check_latency(const Example& example) {
    Voice plain(example);
    const std::vector<float> before = plain.generate(20000);
    for (double latency : {0.03, 0.06}) {
        Voice live(example);
        std::vector<float> sound;
        wavenet_set_latency(live.player, latency);
        wavenet_start(live.player);
        for (int i = 0; i < 10; i++) render(live.player, BLOCK, sound), wait_a_block();
        const size_t set = sound.size();
        wavenet_set_seed(live.player, 99);
        for (int i = 0; i < 15; i++) render(live.player, BLOCK, sound), wait_a_block();
        const size_t heard = size_t(std::mismatch(sound.begin(), sound.end(), before.begin()).first - sound.begin());
        // the first samples may be the same by chance
        expect(heard >= set && double(heard - set) <= latency * 16000 + 32, "a setting is heard within the latency");
    }
}

/// Settings from several threads while another renders, which neither allocates nor waits.
void check_stress(const Example& example) {
    Voice voice(example);
    wavenet_player* p = voice.player;
    const std::vector<float> sound = hum(400);
    std::atomic<bool> playing{true};
    std::vector<std::thread> setters;
    for (int which = 0; which < 3; which++)
        setters.emplace_back([&, which] {
            const int values = wavenet_label_count(voice.model);
            for (int i = which; playing; i++) {
                const long before = allocations;
                wavenet_set_temperature(p, i % 3 * 0.5);
                wavenet_set_top_k(p, i % 20), wavenet_set_top_p(p, 1.0 / (1 + i % 3));
                if (values) wavenet_set_label(p, i % values, i % 4 * 0.5);
                wavenet_set_seed(p, uint64_t(i));
                wavenet_set_latency(p, 0.02 + i % 10 * 0.01);
                if (i % 7 == 0) wavenet_restart(p);
                expect(allocations == before, "settings allocate nothing");
                if (i % 5 == 0) wavenet_prime(p, sound.data(), size_t(i) % sound.size());
                std::this_thread::sleep_for(std::chrono::microseconds(500));
            }
        });
    expect(wavenet_start(p) == 0, "the player starts");
    float out[BLOCK];
    bool sounds = true;
    long allocated = 0, waited = 0;
    for (int i = 0; i < 50; i++) {
        const long allocated_before = allocations, waited_before = waits();
        wavenet_render(p, out, BLOCK);
        waited += waits() - waited_before, allocated += allocations - allocated_before;
        for (float sample : out) sounds &= std::fabs(sample) <= 1;
        wait_a_block();
    }
    playing = false;
    for (std::thread& setter : setters) setter.join();
    expect(sounds, "samples are in [-1, 1]");
    expect(allocated == 0, "rendering allocates nothing");
    expect(waited == 0, "rendering never waits");
}

}  // namespace

int main(int count, char** arguments) {
    rng.seed(count > 1 ? unsigned(std::atoi(arguments[1])) : 0);
    for (uint32_t i = 0; i < 9; i++) {
        const Example example(i % 3);
        check_loading(example);
        check_refusals(example);
        check_samples(example);
        check_primes(example);
        check_places(example);
        check_labels(example);
        if (i >= 3) continue;
        check_real_time(example);
        check_latency(example);
        check_stress(example);
    }
    std::printf("%d failures\n", failures.load());
    return failures != 0;
}
