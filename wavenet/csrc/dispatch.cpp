#include "dispatch.h"

#if defined(__linux__) && defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
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
DECLARE(avx512)
DECLARE(avx2)
#elif defined(__aarch64__)
DECLARE(neon)
#endif
DECLARE(portable)

std::vector<Code> available() {
    std::vector<Code> found;
#if defined(ONLY_PORTABLE)
#elif defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512bf16"))
        found.push_back(CODE(avx512));
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(CODE(avx2));
#elif defined(__linux__) && defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found.push_back(CODE(neon));
#elif defined(__aarch64__)
    found.push_back(CODE(neon));  // all of Apple's processors have dot products
#endif
    found.push_back(CODE(portable));
    return found;
}

}  // namespace wavenet
