// C++ exceptions for WebAssembly, which zig's library comes without: its sources of them, compiled as a part of the kernel.

#define _LIBCXXABI_BUILDING_LIBRARY
#define _LIBCPP_BUILDING_LIBRARY
#define _LIBCXXABI_HAS_NO_THREADS
#define _LIBUNWIND_HIDE_SYMBOLS
#include "libcxxabi/src/cxa_exception.cpp"
#include "libcxxabi/src/cxa_personality.cpp"
#include "libunwind/src/config.h"
extern "C" {
#include "libunwind/src/Unwind-wasm.c"
}
asm(".globl __cpp_exception\n.tagtype __cpp_exception i32\n__cpp_exception:\n");
