// The Python module: names, and nothing else.

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "dispatch.h"

namespace nb = nanobind;

using namespace wavenet;

namespace {

template <class T>
T* at(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

/// Passes take shapes as tuples and arrays as addresses, 0 for none; stack.py, their caller, makes the arrays.
template <class T>
void bind_passes(nb::module_& module, const char* name) {
    using P = Passes<T>;
    using Address = uintptr_t;
    using release = nb::call_guard<nb::gil_scoped_release>;
    nb::class_<P>(module, name)
        .def("gate_forward", [](const P& p, std::array<int64_t, 5> s, Address h, Address z, Address gated, int threads) {
            p.gate_forward({s[0], s[1], s[2], s[3], s[4]}, at<T>(h), at<T>(z), at<T>(gated), threads);
        }, release())
        .def("gate_backward", [](const P& p, std::array<int64_t, 5> s, Address h, Address d_z, Address d_gated,
                                 Address d_h, Address d_bias, int threads) {
            p.gate_backward({s[0], s[1], s[2], s[3], s[4]}, at<T>(h), at<T>(d_z), at<T>(d_gated), at<T>(d_h),
                            at<float>(d_bias), threads);
        }, release())
        .def("join_forward", [](const P& p, std::array<int64_t, 6> s, Address x, Address residual, Address joined,
                                Address taps, int threads) {
            p.join_forward({s[0], s[1], s[2], s[3], s[4], s[5]}, at<float>(x), at<T>(residual), at<float>(joined),
                           at<T>(taps), threads);
        }, release())
        .def("join_backward", [](const P& p, std::array<int64_t, 6> s, Address d_above, Address d_taps,
                                 Address d_joined, Address d_residual, Address d_bias, int threads) {
            p.join_backward({s[0], s[1], s[2], s[3], s[4], s[5]}, at<float>(d_above), at<T>(d_taps),
                            at<float>(d_joined), at<T>(d_residual), at<float>(d_bias), threads);
        }, release())
        .def("cross_entropy", [](const P& p, int64_t rows, Address logits, Address targets, Address gradient,
                                 int threads) {
            return p.cross_entropy(rows, at<T>(logits), at<int64_t>(targets), at<T>(gradient), threads);
        }, release());
}

}  // namespace

NB_MODULE(_native, module) {
    bind_passes<float>(module, "PassesFloat32");
    bind_passes<bf16>(module, "PassesBFloat16");
    nb::class_<Code>(module, "Code")
        .def_prop_ro("name", [](const Code& code) { return code.name; })
        .def_prop_ro("float32", [](const Code& code) { return code.float32; }, nb::rv_policy::reference)
        .def_prop_ro("bfloat16", [](const Code& code) { return code.bfloat16; }, nb::rv_policy::reference);
    module.def("available", &available, "What this processor runs, fastest first.");
}
