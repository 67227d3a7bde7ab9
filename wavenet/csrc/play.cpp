// wavenet-play turns an exported network into a WAV file, without Python. USAGE below describes its settings.
//
// On one processor the same seed gives the same samples as wavenet-generate.

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "pace.h"
#include "remote.h"
#include "sound_file.h"
#include "wavenet.h"

using namespace wavenet;

namespace {

constexpr const char* USAGE =
    "wavenet-play model.wavenet sound.wav [name=value ...]\n"
    "\n"
    "Make a sound with a network that wavenet-export wrote, as a WAV file. An existing file is overwritten.\n"
    "A pipe receives WAV too; - writes bare samples (16 bits, little-endian, one channel) to the standard output.\n"
    "\n"
    "  seconds=5             length; with osc, there is no end if it is left out\n"
    "  seed=0                on one processor the same seed gives the same sound\n"
    "  temperature=1         below 1 is tamer, above 1 is wilder; 0 always takes the likeliest code\n"
    "  top_k=0               draw only from the k likeliest codes; 0 draws from all\n"
    "  top_p=1               draw from the smallest set of codes that holds this probability; 1 draws from all\n"
    "  label.speaker=june    a label that the network was trained with; label.speaker.june=0.7 sets the weight of one value\n"
    "  prime=recording.wav   continue this recording, which has the network's sample rate\n"
    "  osc=9000              take settings as OSC messages while the sound is made, in real time, from this port of this\n"
    "                        computer; 0.0.0.0:9000 listens to the network too: /temperature x, /top_k n, /top_p x, /seed n,\n"
    "                        /label june 0.7, /label speaker june 0.7, /restart\n"
    "  instruction_set=auto  avx512bf16, avx512, avxvnni or avx2 on x86; i8mm, dotprod or neon on ARM; portable; auto is the\n"
    "                        fastest on this machine\n";

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
    if (is_terminal(output.string()))
        throw UsageError("the output is " + output.string() + ", which is the terminal here: pipe it on, as to aplay, or name a file");
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

std::string joined(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return list;
}

using Model = std::unique_ptr<wavenet_model, decltype(&wavenet_model_free)>;
using Player = std::unique_ptr<wavenet_player, decltype(&wavenet_player_free)>;

Model load(const std::string& path, const std::string& instruction_set) {
    char error[500];
    std::vector<uint8_t> bytes = read(path);
    Model model(wavenet_load_for(instruction_set.c_str(), bytes.data(), bytes.size(), error, sizeof error), &wavenet_model_free);
    if (model) return model;
    if (std::string(error).rfind("instruction_set", 0) == 0) throw UsageError(error);
    throw std::runtime_error(path + ": " + error);
}

/// Applies label.NAME=VALUE, or label.NAME.VALUE=WEIGHT.
void set_label(const Settings& settings, const std::string& setting, const wavenet_model* model, wavenet_player* player) {
    const std::string& chosen = settings.at(setting);
    std::vector<std::string> names, values;
    for (int i = 0; i < wavenet_label_count(model); i++) {
        const std::string name = std::string("label.") + wavenet_label_name(model, i), value = wavenet_label_value(model, i);
        if (setting == name + "." + value) {
            auto allowed = [](double weight) { return std::fabs(weight) <= 10; };
            wavenet_set_label(player, i, number(settings, setting.c_str(), allowed, "a number from -10 to 10"));
            return;
        }
        if (names.empty() || names.back() != name) names.push_back(name);
        if (setting == name) {
            values.push_back(value);
            wavenet_set_label(player, i, chosen == value);
        }
    }
    if (values.empty())
        throw UsageError(setting + " is not a label of this network; " +
                         (names.empty() ? "it has none" : "it knows " + joined(names)));
    if (std::find(values.begin(), values.end(), chosen) == values.end())
        throw UsageError(setting + " is '" + chosen + "', but it must be one of " + joined(values));
}

/// The remote control that osc= asks for, or none.
std::unique_ptr<Remote> listen(const std::string& where, const wavenet_model* model, wavenet_player* player) {
    if (where.empty()) return nullptr;
    try {
        auto remote = std::make_unique<Remote>(where, model, player);
        std::fprintf(stderr, "listening for OSC at %s\n", remote->address().c_str());
        return remote;
    } catch (const std::invalid_argument& error) {
        throw UsageError(error.what());
    }
}

void play(int count, char** arguments) {
    Settings settings = {{"seconds", "5"}, {"seed", "0"},  {"temperature", "1"},        {"top_k", "0"},
                         {"top_p", "1"},   {"prime", ""},  {"osc", ""},  {"instruction_set", "auto"}};
    std::vector<std::string> paths, labels;
    bool endless = true;
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
        if (equals == std::string::npos) {
            paths.push_back(argument);
            continue;
        }
        if (name.rfind("label.", 0) == 0) labels.push_back(name);
        else if (!settings.count(name))
            throw UsageError("unknown setting " + name +
                             "; choose from seconds, seed, temperature, top_k, top_p, label.*, prime, osc, instruction_set");
        settings[name] = argument.substr(equals + 1);
        if (name == "seconds") endless = false;
    }
    if (paths.size() != 2)
        throw UsageError("two files are needed, not " + std::to_string(paths.size()) +
                         ": wavenet-play model.wavenet sound.wav, see --help");
    double temperature = number(settings, "temperature", [](double t) { return t >= 0; }, "a number of at least 0");
    uint64_t top_k = whole_number(settings, "top_k"), seed = whole_number(settings, "seed");
    double top_p = number(settings, "top_p", [](double p) { return p > 0 && p <= 1; }, "greater than 0 and at most 1");
    double seconds = number(settings, "seconds", [](double s) { return s > 0; }, "a number greater than 0");
    check_output(paths[1]);

    Model model = load(paths[0], settings["instruction_set"]);
    const double rate = wavenet_sample_rate(model.get());
    // sizes in a header have 32 bits
    double longest = std::floor((0xFFFFFFFFu - 36) / 2.0 / rate);
    if (seconds > longest && !streamed(paths[1]))
        throw UsageError("seconds is " + settings["seconds"] + ", but a WAV file holds at most " +
                         std::to_string(int64_t(longest)) + " at " + std::to_string(int64_t(rate)) + " Hz");

    char error[200];
    Player player(wavenet_player_new(model.get(), error, sizeof error), &wavenet_player_free);
    if (!player) throw std::runtime_error(error);
    wavenet_set_temperature(player.get(), temperature), wavenet_set_seed(player.get(), seed);
    if (wavenet_set_top_k(player.get(), int(std::min<uint64_t>(top_k, 1 << 30))) || wavenet_set_top_p(player.get(), top_p))
        throw UsageError(paths[0] + " ends in a mixture, which supports only temperature: leave top_k and top_p out");
    for (const std::string& label : labels) set_label(settings, label, model.get(), player.get());
    if (const std::string& prime = settings["prime"]; !prime.empty()) {
        std::vector<float> samples = read_wav(prime, read(prime), int64_t(rate));
        if (wavenet_prime(player.get(), samples.data(), samples.size()))
            throw std::runtime_error(prime + " holds samples that are not finite numbers");
    }

    std::unique_ptr<Remote> remote = listen(settings["osc"], model.get(), player.get());
    if (remote && endless) seconds = longest;
    const int64_t chunk = remote ? Pace::part(rate) : 512;
    std::vector<float> sound(static_cast<size_t>(chunk));
    std::vector<int16_t> samples;
    WavFile wav(paths[1], int64_t(rate));
    Pace pace(wav, rate);
    int64_t total = std::max(std::lrint(seconds * rate), 1L), made = 0;
    auto began = std::chrono::steady_clock::now();
    while (made < total && !interrupted) {
        if (remote) pace.wait(made, [] { return interrupted != 0; });
        int64_t part = std::min(chunk, total - made);
        if (wavenet_generate(player.get(), sound.data(), size_t(part))) throw std::runtime_error("there is not enough memory");
        samples.clear();
        for (int64_t i = 0; i < part; i++)
            samples.push_back(int16_t(std::clamp(std::lrint(sound[size_t(i)] * 32768.0f), -32768L, 32767L)));
        wav.write(samples);
        made += part;
    }
    wav.close();
    FILE* words = is_stdout(paths[1]) ? stderr : stdout;
    double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() - pace.waited();
    const char* where = paths[1] == "-" ? "to the standard output" : paths[1].c_str();
    double speed = double(made) / taken;
    std::fprintf(words, "wrote %s: %.2f s of audio, %.0f samples/s = %.2f x real time%s\n", where, double(made) / rate, speed,
                speed / rate, remote && speed < rate ? ", so it had gaps" : "");
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
