// Zeroed, aligned memory.

#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace wavenet::ISA {

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/// `size` zeros. Large buffers use big pages if the system has them: their lines spread evenly over the second-level
/// cache, which the weights nearly fill, so that small pages would collide there.
template <class T>
struct Buffer {
    explicit Buffer(int64_t count = 0) : size(count) {
        size_t bytes = size_t(round_up(count * int64_t(sizeof(T)), align()));
        if (!count) return;
        data = static_cast<T*>(::operator new(bytes, std::align_val_t(align())));
#if defined(__linux__)
        if (align() == BIG_PAGE) madvise(data, bytes, MADV_HUGEPAGE);
#endif
        std::memset((void*)data, 0, bytes);
    }
    ~Buffer() {
        if (data) ::operator delete(data, std::align_val_t(align()));
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data, other.data);
        std::swap(size, other.size);
        return *this;
    }
    int64_t align() const { return size * int64_t(sizeof(T)) >= BIG_PAGE / 8 ? BIG_PAGE : 64; }
    static constexpr int64_t BIG_PAGE = 2 << 20;
    T* data = nullptr;
    int64_t size;
};

}  // namespace wavenet::ISA
