// wavenet-play: an exported network in, a WAV file out, with no Python installed.
//
//     wavenet-play model.wavenet sound.wav [seconds=5] [seed=0] [temperature=1] [top_k=0] [top_p=1] [instruction_set=auto]
//
// On one processor the same seed gives the same samples as wavenet-generate.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "dispatch.h"

using namespace wavenet;

namespace {

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

volatile std::sig_atomic_t interrupted = 0;

/// splitmix64 as a function of seed and position: wavenet/generation/splitmix.py
double uniform(uint64_t seed, uint64_t position) {
    auto mix = [](uint64_t z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    };
    return double(mix(mix(seed) + (position + 1) * 0x9E3779B97F4A7C15u) >> 11) * 0x1p-53;
}

/// Mu-law codes as 16-bit samples: wavenet/mulaw.py, and WAV's scale of 32768.
std::array<int16_t, CODES> decoded() {
    std::array<int16_t, CODES> table{};
    for (int code = 0; code < CODES; code++) {
        double y = double(code) / 255 * 2 - 1, magnitude = std::expm1(std::fabs(y) * std::log(256.0)) / 255;
        float x = float(std::copysign(magnitude, y));
        table[code] = int16_t(std::clamp(std::lrint(x * 32768.0f), -32768L, 32767L));
    }
    return table;
}

/// Mono, 16 bits. Its header is written last, so that it is right whenever the program ends in good order.
class WavFile {
  public:
    WavFile(const std::string& path, int64_t rate) : path(path), rate(uint32_t(rate)), file(path, std::ios::binary) {
        header();
    }

    void write(const std::vector<int16_t>& samples) {
        file.write(reinterpret_cast<const char*>(samples.data()), std::streamsize(samples.size() * 2));
        bytes += uint32_t(samples.size() * 2);
        check();
    }

    void close() {
        file.seekp(0);
        header();
        file.close();
        check();
    }

  private:
    void header() {
        auto number = [this](uint32_t value, int size) { file.write(reinterpret_cast<const char*>(&value), size); };
        file << "RIFF", number(36 + bytes, 4), file << "WAVEfmt ", number(16, 4), number(1, 2), number(1, 2);
        number(rate, 4), number(2 * rate, 4), number(2, 2), number(16, 2), file << "data", number(bytes, 4);
        check();
    }

    void check() const {
        if (!file) throw std::runtime_error("cannot write " + path + ": free space, or choose another place");
    }

    std::string path;
    uint32_t rate, bytes = 0;
    std::ofstream file;
};

double number(const std::map<std::string, std::string>& settings, const char* name, double low, double high) {
    const std::string& text = settings.at(name);
    char* end;
    double value = std::strtod(text.c_str(), &end);
    if (*end || text.empty() || !(value >= low && value <= high))
        throw UsageError(std::string(name) + " is '" + text + "', but it must be a number from " + std::to_string(low) +
                         " to " + std::to_string(high));
    return value;
}

Code choose_code(const std::string& name) {
    std::string names;
    for (const Code& code : available()) {
        if (name == "auto" || name == code.name) return code;
        names += std::string(names.empty() ? "" : ", ") + code.name;
    }
    throw UsageError("instruction_set is '" + name + "', but what runs here is auto, " + names);
}

void play(int count, char** arguments) {
    std::map<std::string, std::string> settings = {{"seconds", "5"}, {"seed", "0"},  {"temperature", "1"},
                                                   {"top_k", "0"},   {"top_p", "1"}, {"instruction_set", "auto"}};
    std::vector<std::string> paths;
    for (int i = 1; i < count; i++) {
        std::string argument = arguments[i];
        size_t equals = argument.find('=');
        if (equals == std::string::npos) paths.push_back(argument);
        else if (!settings.count(argument.substr(0, equals)))
            throw UsageError("unknown setting " + argument.substr(0, equals));
        else settings[argument.substr(0, equals)] = argument.substr(equals + 1);
    }
    if (paths.size() != 2)
        throw UsageError("usage: wavenet-play model.wavenet sound.wav [seconds=5] [seed=0] [temperature=1] [top_k=0] "
                         "[top_p=1] [instruction_set=auto]");
    Sampling sampling{number(settings, "temperature", 0, 1e6), int(number(settings, "top_k", 0, 256)),
                      number(settings, "top_p", 1e-9, 1)};
    double seconds = number(settings, "seconds", 0, 36000);
    uint64_t seed = std::strtoull(settings["seed"].c_str(), nullptr, 10);

    std::ifstream in(paths[0], std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + paths[0]);
    std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(in)), {});
    std::unique_ptr<Engine> engine;
    try {
        engine = choose_code(settings["instruction_set"]).make_engine(Network::parse(bytes.data(), bytes.size()));
    } catch (const FormatError& error) {
        throw std::runtime_error(paths[0] + ": " + error.what());
    }

    std::vector<uint64_t> state((engine->state_bytes() + 7) / 8);
    std::vector<float> logits(CODES);
    Stream stream{reinterpret_cast<uint8_t*>(state.data()), logits.data(), nullptr, nullptr, nullptr, nullptr, 0};
    engine->start(stream.state, stream.logits, nullptr);
    constexpr int64_t chunk = 512;
    std::vector<uint8_t> codes(chunk);
    std::vector<double> uniforms(chunk);
    std::vector<int16_t> samples;
    stream.codes = codes.data(), stream.uniforms = uniforms.data();
    const auto table = decoded();
    WavFile wav(paths[1], engine->sample_rate);
    int64_t total = std::max(std::lrint(seconds * double(engine->sample_rate)), 1L), made = 0;
    auto began = std::chrono::steady_clock::now();
    while (made < total && !interrupted) {
        stream.samples = std::min(chunk, total - made);
        for (int64_t i = 0; i < stream.samples; i++) uniforms[i] = uniform(seed, uint64_t(made + i));
        engine->run({stream}, sampling, 1);
        samples.clear();
        for (int64_t i = 0; i < stream.samples; i++) samples.push_back(table[codes[i]]);
        wav.write(samples);
        made += stream.samples;
    }
    wav.close();
    double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    std::printf("wrote %s: %.2f s of audio, %.0f samples/s = %.2f x real time\n", paths[1].c_str(),
                double(made) / double(engine->sample_rate), double(made) / taken,
                double(made) / taken / double(engine->sample_rate));
}

}  // namespace

int main(int count, char** arguments) {
    std::signal(SIGINT, [](int) { interrupted = 1; });
    try {
        play(count, arguments);
    } catch (const UsageError& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
    return interrupted ? 130 : 0;
}
