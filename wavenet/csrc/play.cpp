// wavenet-play turns an exported network into a WAV file, without Python. USAGE below describes its settings.
//
// On one processor the same seed gives the same samples as wavenet-generate.

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "dispatch.h"

using namespace wavenet;

namespace {

constexpr const char* USAGE =
    "wavenet-play model.wavenet sound.wav [name=value ...]\n"
    "\n"
    "Make a sound with a network that wavenet-export wrote, as a WAV file. An existing file is overwritten.\n"
    "A pipe receives WAV too; - writes bare samples (16 bits, little-endian, one channel) to the standard output.\n"
    "\n"
    "  seconds=5             length\n"
    "  seed=0                on one processor the same seed gives the same sound\n"
    "  temperature=1         below 1 is tamer, above 1 is wilder; 0 always takes the likeliest code\n"
    "  top_k=0               draw only from the k likeliest codes; 0 draws from all\n"
    "  top_p=1               draw from the smallest set of codes that holds this probability; 1 draws from all\n"
    "  instruction_set=auto  avx512, avx2, neon or portable; auto is the fastest on this machine\n";

using Settings = std::map<std::string, std::string>;

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

#ifdef SIGHUP
constexpr int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP};
#else
constexpr int SIGNALS[] = {SIGINT, SIGTERM};
#endif
volatile std::sig_atomic_t interrupted = 0;  // the received signal

/// splitmix64 as a function of seed and position: wavenet/generation/splitmix.py
double uniform(uint64_t seed, uint64_t position) {
    auto mix = [](uint64_t z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    };
    return double(mix(mix(seed) + (position + 1) * 0x9E3779B97F4A7C15u) >> 11) * 0x1p-53;
}

/// Mu-law codes as 16-bit samples: wavenet/audio/mulaw.py, and WAV's scale of 32768.
std::array<int16_t, CODES> decoded() {
    std::array<int16_t, CODES> table{};
    for (int code = 0; code < CODES; code++) {
        double y = double(code) / 255 * 2 - 1, magnitude = std::expm1(std::fabs(y) * std::log(256.0)) / 255;
        float x = float(std::copysign(magnitude, y));
        table[code] = int16_t(std::clamp(std::lrint(x * 32768.0f), -32768L, 32767L));
    }
    return table;
}

const std::string RAW = "-", STANDARD_OUTPUT = "/dev/stdout";
constexpr uint32_t UNKNOWN_SIZE = 0xFFFFFFFF;  // as ffmpeg writes it; programs then read to the end

bool is_stdout(const std::string& path) { return path == RAW || path == STANDARD_OUTPUT; }

/// Whether the path is a pipe, a device or the standard output, to which data is written directly.
bool streamed(const std::string& path) {
    std::error_code ignored;
    return is_stdout(path) || std::filesystem::is_other(std::filesystem::status(path, ignored));
}

/// Mono, 16 bits. A file's header is written again at the end, with the length. A stream's header leaves the length
/// unknown, and RAW has no header.
class WavFile {
  public:
    WavFile(const std::string& path, int64_t rate)
        : path(path), rate(uint32_t(rate)), stream(streamed(path)),
          file(is_stdout(path) ? stdout : std::fopen(path.c_str(), "wb")) {
        check(file != nullptr);
        if (path != RAW) header(UNKNOWN_SIZE, UNKNOWN_SIZE);
    }

    void write(const std::vector<int16_t>& samples) {
        put(samples.data(), samples.size() * 2);
        bytes += uint32_t(samples.size() * 2);
        if (stream) check(std::fflush(file) == 0);
    }

    void close() {
        if (!stream) {
            check(std::fseek(file, 0, SEEK_SET) == 0);
            header(36 + bytes, bytes);
        }
        check(std::fclose(file) == 0);
    }

  private:
    void header(uint32_t riff_size, uint32_t data_size) {
        auto number = [this](uint32_t value, size_t size) { put(&value, size); };
        put("RIFF", 4), number(riff_size, 4), put("WAVEfmt ", 8), number(16, 4), number(1, 2), number(1, 2);
        number(rate, 4), number(2 * rate, 4), number(2, 2), number(16, 2), put("data", 4), number(data_size, 4);
    }

    void put(const void* data, size_t size) { check(std::fwrite(data, 1, size, file) == size); }

    void check(bool written) const {
        if (!written) throw std::runtime_error("cannot write " + path + ": free space, or choose another place");
    }

    std::string path;
    uint32_t rate, bytes = 0;
    bool stream;
    FILE* file;
};

/// A setting as a number. Throws UsageError, which says what is allowed, for anything else.
double number(const Settings& settings, const char* name, bool (*holds)(double), const char* allowed) {
    const std::string& text = settings.at(name);
    char* end;
    double value = std::strtod(text.c_str(), &end);
    if (*end || text.empty() || !std::isfinite(value) || !holds(value))
        throw UsageError(std::string(name) + " is '" + text + "', but it must be " + allowed);
    return value;
}

uint64_t whole_number(const Settings& settings, const char* name) {
    const std::string& text = settings.at(name);
    errno = 0;
    uint64_t value = std::strtoull(text.c_str(), nullptr, 10);
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos || errno == ERANGE)
        throw UsageError(std::string(name) + " is '" + text + "', but it must be a whole number of at least 0");
    return value;
}

/// Throws if a sound cannot be written to `output`; called before the sound is made.
void check_output(const std::filesystem::path& output) {
    if (streamed(output.string())) return;
    std::string ending = output.extension().string();
    std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
    if (ending != ".wav") throw UsageError("the output is " + output.string() + ", but it must end in .wav");
    std::error_code ignored;
    std::filesystem::path folder = output.parent_path();
    if (std::filesystem::is_directory(output, ignored))
        throw std::runtime_error("cannot write " + output.string() + ": it is a folder");
    if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
        throw std::runtime_error("cannot write " + output.string() + ": the folder " + folder.string() +
                                 (std::filesystem::exists(folder, ignored) ? " is a file" : " does not exist"));
}

std::vector<uint8_t> read(const std::string& path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored))
        throw std::runtime_error(path + " is a folder: give the file that wavenet-export wrote");
    if (!std::filesystem::exists(path, ignored)) throw std::runtime_error(path + " does not exist");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(in), {}};
}

Code choose_code(const std::string& name) {
    std::string names;
    for (const Code& code : available()) {
        if (name == "auto" || name == code.name) return code;
        names += std::string(names.empty() ? "" : ", ") + code.name;
    }
    throw UsageError("instruction_set is '" + name + "', but this machine runs auto, " + names);
}

void play(int count, char** arguments) {
    Settings settings = {{"seconds", "5"}, {"seed", "0"},  {"temperature", "1"},
                         {"top_k", "0"},   {"top_p", "1"}, {"instruction_set", "auto"}};
    std::vector<std::string> paths;
    for (int i = 1; i < count; i++) {
        std::string argument = arguments[i];
        if (argument == "-h" || argument == "--help") {
            std::fputs(USAGE, stdout);
            return;
        }
        size_t equals = argument.find('=');
        std::string name = argument.substr(0, equals);
        if (equals == std::string::npos && argument != RAW && argument.rfind("-", 0) == 0)
            throw UsageError("unknown flag " + argument + ": settings are written name=value, see --help");
        if (equals == std::string::npos) paths.push_back(argument);
        else if (!settings.count(name))
            throw UsageError("unknown setting " + name +
                             "; choose from seconds, seed, temperature, top_k, top_p, instruction_set");
        else settings[name] = argument.substr(equals + 1);
    }
    if (paths.size() != 2)
        throw UsageError("two files are needed, not " + std::to_string(paths.size()) +
                         ": wavenet-play model.wavenet sound.wav, see --help");
    Sampling sampling{
        number(settings, "temperature", [](double t) { return t >= 0; }, "a number of at least 0"),
        int(std::min<uint64_t>(whole_number(settings, "top_k"), CODES)),
        number(settings, "top_p", [](double p) { return p > 0 && p <= 1; }, "greater than 0 and at most 1")};
    double seconds = number(settings, "seconds", [](double s) { return s > 0; }, "a number greater than 0");
    uint64_t seed = whole_number(settings, "seed");
    check_output(paths[1]);

    std::vector<uint8_t> bytes = read(paths[0]);
    std::unique_ptr<Engine> engine;
    try {
        engine = choose_code(settings["instruction_set"]).make_engine(Network::parse(bytes.data(), bytes.size()));
    } catch (const FormatError& error) {
        throw std::runtime_error(paths[0] + ": " + error.what());
    }

    // sizes in a header have 32 bits
    double longest = std::floor((0xFFFFFFFFu - 36) / 2.0 / double(engine->sample_rate));
    if (seconds > longest && !streamed(paths[1]))
        throw UsageError("seconds is " + settings["seconds"] + ", but a WAV file holds at most " +
                         std::to_string(int64_t(longest)) + " at " + std::to_string(engine->sample_rate) + " Hz");

    std::vector<uint64_t> state((engine->state_bytes() + 7) / 8);
    if (engine->mixtures && (sampling.top_k > 0 || sampling.top_p < 1))
        throw UsageError(paths[0] + " ends in a mixture, which supports only temperature: leave top_k and top_p out");
    std::vector<float> logits(size_t(engine->outputs));
    Stream stream{reinterpret_cast<uint8_t*>(state.data()), logits.data(), nullptr, nullptr, nullptr, nullptr, 0};
    engine->start(stream.state, stream.logits, nullptr);
    constexpr int64_t chunk = 512;
    std::vector<uint16_t> codes(chunk);
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
        for (int64_t i = 0; i < stream.samples; i++)
            samples.push_back(engine->mixtures ? int16_t(codes[i] - STEPS) : table[codes[i]]);
        wav.write(samples);
        made += stream.samples;
    }
    wav.close();
    FILE* words = is_stdout(paths[1]) ? stderr : stdout;
    double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    const char* where = paths[1] == "-" ? "to the standard output" : paths[1].c_str();
    std::fprintf(words, "wrote %s: %.2f s of audio, %.0f samples/s = %.2f x real time\n", where,
                double(made) / double(engine->sample_rate), double(made) / taken,
                double(made) / taken / double(engine->sample_rate));
}

}  // namespace

int main(int count, char** arguments) {
    for (int number : SIGNALS)
        if (std::signal(number, [](int came) { interrupted = came; }) == SIG_IGN) std::signal(number, SIG_IGN);
    try {
        play(count, arguments);
    } catch (const UsageError& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
    return interrupted ? 128 + interrupted : 0;
}
