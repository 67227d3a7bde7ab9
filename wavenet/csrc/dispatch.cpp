#include "dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__APPLE__) && defined(__aarch64__)
#include <sys/sysctl.h>
#endif

namespace wavenet {

#define DECLARE(isa)                                       \
    namespace isa {                                        \
    extern const Passes<float> passes_float32;             \
    extern const Passes<bf16> passes_bfloat16;             \
    std::unique_ptr<Engine> make_engine(const Network&);   \
    }
#if defined(__wasm__)  // a browser does not train
#define CODE(isa) Code{#isa, nullptr, nullptr, &isa::make_engine}
#else
#define CODE(isa) Code{#isa, &isa::passes_float32, &isa::passes_bfloat16, &isa::make_engine}
#endif

#if defined(ONLY_PORTABLE)
#elif defined(__x86_64__)
DECLARE(avx512bf16)
DECLARE(avx512)
DECLARE(avxvnni)
DECLARE(avx2)
#elif defined(__aarch64__)
DECLARE(i8mm)
DECLARE(dotprod)
DECLARE(neon)
#endif
DECLARE(portable)

namespace {

#if defined(__x86_64__)
/// Whether there are products of bytes in vectors of 256 bits, in the encoding that avxvnni was compiled for.
[[maybe_unused]] bool has_avxvnni() {
#if defined(AVXVNNI_AS_AVX512VL)
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#else
    unsigned a = 0, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
#endif
}
#elif defined(__linux__) && defined(__aarch64__)
[[maybe_unused]] bool has_dotprod() { return getauxval(AT_HWCAP) & 1 << 20; }  // HWCAP_ASIMDDP
[[maybe_unused]] bool has_i8mm() { return getauxval(AT_HWCAP2) & 1 << 13; }    // HWCAP2_I8MM
#elif defined(__APPLE__) && defined(__aarch64__)
bool has(const char* feature) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value;
}
[[maybe_unused]] bool has_dotprod() { return has("hw.optional.arm.FEAT_DotProd"); }
[[maybe_unused]] bool has_i8mm() { return has("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__aarch64__)
[[maybe_unused]] bool has_dotprod() { return false; }
[[maybe_unused]] bool has_i8mm() { return false; }
#endif

}  // namespace

std::vector<Code> available() {
    std::vector<Code> found;
#if defined(ONLY_PORTABLE)
#elif defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
        if (__builtin_cpu_supports("avx512bf16")) found.push_back(CODE(avx512bf16));
        found.push_back(CODE(avx512));
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
#if defined(HAS_AVXVNNI)
        if (has_avxvnni()) found.push_back(CODE(avxvnni));
#endif
        found.push_back(CODE(avx2));
    }
#elif defined(__aarch64__)
#if defined(HAS_I8MM)
    if (has_i8mm()) found.push_back(CODE(i8mm));
#endif
    if (has_dotprod()) found.push_back(CODE(dotprod));
    found.push_back(CODE(neon));
#endif
    found.push_back(CODE(portable));
    return found;
}

}  // namespace wavenet
