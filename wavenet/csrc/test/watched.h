// Counts what an audio thread must not do. It replaces operator new, so one file of a program may include it.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#if defined(__linux__)
#include <sys/resource.h>
#endif

static thread_local long allocations = 0;  // of this thread, frees included

static void* allocate(size_t size, size_t align) {
    allocations++;
    if (void* p = std::aligned_alloc(align, (size + align - 1) / align * align)) return p;
    throw std::bad_alloc();
}
static void release(void* p) {
    allocations++;
    std::free(p);
}
void* operator new(size_t size) { return allocate(std::max<size_t>(size, 1), 16); }
void* operator new(size_t size, std::align_val_t align) { return allocate(std::max<size_t>(size, 1), size_t(align)); }
void operator delete(void* p) noexcept { release(p); }
void operator delete(void* p, size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { release(p); }

/// How often this thread has waited for anything.
static long waits() {
#if defined(__linux__) && defined(RUSAGE_THREAD)
    rusage used;
    getrusage(RUSAGE_THREAD, &used);
    return used.ru_nvcsw;
#else
    return 0;
#endif
}
