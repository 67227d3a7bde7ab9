// The Python module, which only exposes the kernels to Python.

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>

#include "dispatch.h"

namespace nb = nanobind;

using namespace wavenet;

namespace {

using Address = uintptr_t;

template <class T>
T* at(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

/// Passes take shapes as tuples and arrays as addresses, 0 for none; their caller, wavenet/model/fused.py, allocates
/// the arrays.
template <class T>
void bind_passes(nb::module_& module, const char* name) {
    using P = Passes<T>;
    using release = nb::call_guard<nb::gil_scoped_release>;
    nb::class_<P>(module, name)
        .def("gate_forward", [](const P& p, std::array<int64_t, 5> s, Address h, Address bias, Address z, Address gated,
                                int threads) {
            p.gate_forward({s[0], s[1], s[2], s[3], s[4]}, at<T>(h), at<float>(bias), at<T>(z), at<T>(gated), threads);
        }, release())
        .def("gate_backward", [](const P& p, std::array<int64_t, 5> s, Address h, Address bias, Address d_z,
                                 Address d_gated, Address d_h, Address d_bias, int threads) {
            p.gate_backward({s[0], s[1], s[2], s[3], s[4]}, at<T>(h), at<float>(bias), at<T>(d_z), at<T>(d_gated),
                            at<T>(d_h), at<float>(d_bias), threads);
        }, release())
        .def("join_forward", [](const P& p, std::array<int64_t, 7> s, Address x, Address residual, Address bias,
                                Address joined, Address taps, int threads) {
            p.join_forward({s[0], s[1], s[2], s[3], s[4], s[5], s[6]}, at<float>(x), at<T>(residual), at<float>(bias),
                           at<float>(joined), at<T>(taps), threads);
        }, release())
        .def("join_backward", [](const P& p, std::array<int64_t, 7> s, Address d_above, Address d_taps,
                                 Address d_joined, Address d_residual, Address d_bias, int threads) {
            p.join_backward({s[0], s[1], s[2], s[3], s[4], s[5], s[6]}, at<float>(d_above), at<T>(d_taps),
                            at<float>(d_joined), at<T>(d_residual), at<float>(d_bias), threads);
        }, release())
        .def("cross_entropy", [](const P& p, int64_t rows, Address logits, Address targets, Address gradient,
                                 int threads) {
            return p.cross_entropy(rows, at<T>(logits), at<int64_t>(targets), at<T>(gradient), threads);
        }, release());
}

/// Runs streams of equal length, stored one after another: states (streams, state_bytes), logits (streams, outputs),
/// codes and the rest (streams, samples), and rows of conditioning (streams, `told`, channels), where `told` is the
/// number of samples, or 1 for a row that stays the same. Arrays are addresses again, 0 for none;
/// wavenet/generation/compiled.py allocates them. Each of the first `guided` streams is guided by a
/// twin that hears the same codes, `guided` places later.
void run(const Engine& engine, int streams, int64_t samples, Address states, Address logits, Address codes,
         Address uniforms, Address bits, Address rows, int64_t told, int guided,
         std::tuple<double, int, double, double> sampling, int threads) {
    // Ctrl-C is checked after each slice, about 10 ms of one stream, estimated from how fast a core reads weights
    int64_t slice = 1'000'000'000 / int64_t(engine.weight_bytes()) / std::max(streams / threads, 1);
    slice = std::clamp<int64_t>(slice, 32, 1024);
    for (int64_t t = 0; t < samples; t += slice) {
        std::vector<Stream> parts;
        auto add = [&](int64_t s, int64_t heard, bool draws, const float* without) {
            int64_t from = heard * samples + t;
            parts.push_back({at<uint8_t>(states) + s * engine.state_bytes(), at<float>(logits) + s * engine.outputs,
                             at<uint16_t>(codes) + from, uniforms && draws ? at<double>(uniforms) + from : nullptr,
                             bits && draws ? at<float>(bits) + from : nullptr,
                             rows ? at<float>(rows) + (s * told + (told > 1 ? t : 0)) * engine.condition_channels : nullptr,
                             std::min(slice, samples - t), told > 1 ? engine.condition_channels : 0, without});
        };
        for (int64_t s = 0; s < streams - guided; s++) {
            add(s, s, true, s < guided ? at<float>(logits) + (s + guided) * engine.outputs : nullptr);
            if (s < guided) add(s + guided, s, false, nullptr);
        }
        {
            nb::gil_scoped_release released;
            auto [temperature, top_k, top_p, guidance] = sampling;
            engine.run(parts, {temperature, top_k, top_p, guidance}, threads);
        }
        if (PyErr_CheckSignals()) throw nb::python_error();
    }
}

}  // namespace

NB_MODULE(_native, module) {
    bind_passes<float>(module, "PassesFloat32");
    bind_passes<bf16>(module, "PassesBFloat16");
    nb::exception<FormatError>(module, "FormatError", PyExc_ValueError);
    nb::class_<Engine>(module, "Engine")
        .def_prop_ro("state_bytes", &Engine::state_bytes)
        .def_prop_ro("weight_bytes", &Engine::weight_bytes)
        .def_prop_ro("precision", [](const Engine& engine) { return int(engine.precision); })
        .def_ro("sample_rate", &Engine::sample_rate)
        .def_ro("mixtures", &Engine::mixtures)
        .def_ro("receptive_field", &Engine::receptive_field)
        .def_ro("condition_channels", &Engine::condition_channels)
        .def_prop_ro("labels", [](const Engine& engine) {
            std::vector<std::tuple<std::string, std::string>> names;
            for (const LabelValue& one : engine.labels) names.emplace_back(one.label, one.value);
            return names;
        })
        .def("start", [](const Engine& engine, Address state, Address logits, Address row) {
            engine.start(at<uint8_t>(state), at<float>(logits), at<float>(row));
        })
        .def("run", &run)
        .def("read_weights", &Engine::read_weights, nb::call_guard<nb::gil_scoped_release>());
    nb::class_<Code>(module, "Code")
        .def_prop_ro("name", [](const Code& code) { return code.name; })
        .def_prop_ro("float32", [](const Code& code) { return code.float32; }, nb::rv_policy::reference)
        .def_prop_ro("bfloat16", [](const Code& code) { return code.bfloat16; }, nb::rv_policy::reference)
        .def("make_engine", [](const Code& code, nb::bytes exported, Address condition, int64_t rows,
                               int64_t channels) {
            Network net = Network::parse(static_cast<const uint8_t*>(exported.data()), exported.size());
            if (condition) net.condition_on(at<float>(condition), rows, channels);
            return code.make_engine(net);
        });
    module.def("available", &available, "The instruction sets that this processor runs, fastest first.");
}
