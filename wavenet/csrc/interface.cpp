// wavenet.h without its real-time part, which is in runner.cpp: this file needs no threads.

#include "interface.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "dispatch.h"

using namespace wavenet;

namespace {

/// What `make` returns. Nothing is thrown into C: what went wrong is written to `error`, and NULL is returned.
template <class Make>
auto guarded(char* error, size_t error_size, Make make) -> decltype(make()) {
    std::string said;
    try {
        return make();
    } catch (const std::bad_alloc&) {
        said = "there is not enough memory";
    } catch (const std::exception& what) {
        said = what.what();
    }
    if (error && error_size) std::snprintf(error, error_size, "%s", said.c_str());
    return nullptr;
}

Code choose_code(const std::string& name) {
    std::string names;
    for (const Code& code : available()) {
        if (name == "auto" || name == code.name) return code;
        names += std::string(names.empty() ? "" : ", ") + code.name;
    }
    throw std::runtime_error("instruction_set is '" + name + "', but this machine runs auto, " + names);
}

std::vector<char> read(const char* path) {
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path, "rb"), &std::fclose);
    if (!file) throw std::runtime_error(errno == ENOENT ? path + std::string(" does not exist") : "cannot read " + std::string(path));
    std::vector<char> bytes;
    char part[1 << 16];
    while (size_t size = std::fread(part, 1, sizeof part, file.get())) bytes.insert(bytes.end(), part, part + size);
    if (std::ferror(file.get()))
        throw std::runtime_error(errno == EISDIR ? path + std::string(" is a folder: give the file that wavenet-export wrote")
                                                 : "cannot read " + std::string(path));
    return bytes;
}

wavenet_model* load(const char* instruction_set, const void* bytes, size_t size) {
    Code code = choose_code(instruction_set);
    return new wavenet_model{code.make_engine(Network::parse(static_cast<const uint8_t*>(bytes), size)), code.name};
}

const LabelValue* label_value(const wavenet_model& model, int i) {
    const std::vector<LabelValue>& all = model.engine->labels;
    return i >= 0 && size_t(i) < all.size() ? &all[size_t(i)] : nullptr;
}

/// Stores a setting if it holds.
template <class Number, class Value>
int set(std::atomic<Number>& setting, Value value, bool holds) {
    if (!holds) return -1;
    setting = Number(value);
    return 0;
}

/// Makes sound on the caller's thread: -1 while the player has a thread of its own, or if memory ran out.
template <class Work>
int unstarted(wavenet_player* p, Work work) {
    if (p->started()) return -1;
    try {
        work();
    } catch (const std::bad_alloc&) {
        return -1;
    }
    return 0;
}

}  // namespace

wavenet_model* wavenet_load(const void* bytes, size_t size, char* error, size_t error_size) {
    return wavenet_load_for("auto", bytes, size, error, error_size);
}

wavenet_model* wavenet_load_file(const char* path, char* error, size_t error_size) {
    return guarded(error, error_size, [&] {
        std::vector<char> bytes = read(path);
        try {
            return load("auto", bytes.data(), bytes.size());
        } catch (const FormatError& wrong) {
            throw std::runtime_error(path + std::string(": ") + wrong.what());
        }
    });
}

wavenet_model* wavenet_load_for(const char* instruction_set, const void* bytes, size_t size, char* error,
                                size_t error_size) {
    return guarded(error, error_size, [&] { return load(instruction_set, bytes, size); });
}

void wavenet_model_free(wavenet_model* model) { delete model; }

int wavenet_sample_rate(const wavenet_model* model) { return int(model->engine->sample_rate); }

int64_t wavenet_receptive_field(const wavenet_model* model) { return model->engine->receptive_field; }

const char* wavenet_instruction_set(const wavenet_model* model) { return model->instruction_set; }

int wavenet_label_count(const wavenet_model* model) { return int(model->engine->labels.size()); }

const char* wavenet_label_name(const wavenet_model* model, int i) {
    const LabelValue* found = label_value(*model, i);
    return found ? found->label.c_str() : nullptr;
}

const char* wavenet_label_value(const wavenet_model* model, int i) {
    const LabelValue* found = label_value(*model, i);
    return found ? found->value.c_str() : nullptr;
}

int wavenet_find_label(const wavenet_model* model, const char* label, const char* value) {
    int found = -1;
    for (int i = 0; i < wavenet_label_count(model); i++) {
        if (std::strcmp(value, wavenet_label_value(model, i)) || (label && std::strcmp(label, wavenet_label_name(model, i)))) continue;
        if (found >= 0) return -2;
        found = i;
    }
    return found;
}

wavenet_player* wavenet_player_new(const wavenet_model* model, char* error, size_t error_size) {
    return guarded(error, error_size, [&] { return new wavenet_player(*model); });
}

void wavenet_player_free(wavenet_player* player) { delete player; }

int wavenet_set_temperature(wavenet_player* p, double temperature) {
    return set(p->player.settings.temperature, temperature, std::isfinite(temperature) && temperature >= 0);
}

int wavenet_set_top_k(wavenet_player* p, int k) {
    return set(p->player.settings.top_k, std::min(k, CODES), k == 0 || (k > 0 && !p->player.engine->mixtures));
}

int wavenet_set_top_p(wavenet_player* p, double top_p) {
    return set(p->player.settings.top_p, top_p, top_p == 1 || (top_p > 0 && top_p < 1 && !p->player.engine->mixtures));
}

int wavenet_set_label(wavenet_player* p, int i, double weight) {
    std::vector<std::atomic<float>>& weights = p->player.settings.weights;
    if (i < 0 || size_t(i) >= weights.size()) return -1;
    return set(weights[size_t(i)], weight, std::fabs(weight) <= MOST_WEIGHT);
}

int wavenet_set_seed(wavenet_player* p, uint64_t seed) { return set(p->player.settings.seed, seed, true); }

int wavenet_prime(wavenet_player* p, const float* samples, size_t count) {
    if (!std::all_of(samples, samples + count, [](float sample) { return std::isfinite(sample); })) return -1;
    try {
        p->player.prime(samples, count);
    } catch (const std::bad_alloc&) {
        return -1;
    }
    return 0;
}

int wavenet_restart(wavenet_player* p) {
    p->player.settings.restarts++;
    return 0;
}

int wavenet_generate(wavenet_player* p, float* out, size_t n) {
    if (unstarted(p, [&] { p->player.generate(out, int64_t(n)); }) == 0) return 0;
    std::fill_n(out, n, 0.0f);
    return -1;
}

size_t wavenet_state_size(const wavenet_player* p) { return p->player.state_size(); }

int wavenet_save(wavenet_player* p, void* state) {
    return unstarted(p, [&] { p->player.save(static_cast<uint8_t*>(state)); });
}

int wavenet_restore(wavenet_player* p, const void* state) {
    return unstarted(p, [&] { p->player.restore(static_cast<const uint8_t*>(state)); });
}
