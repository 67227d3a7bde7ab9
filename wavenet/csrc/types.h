// Types that the code of all instruction sets shares.

#pragma once

#include <cstdint>

namespace wavenet {

/// A bfloat16: the upper half of a float32.
struct bf16 {
    uint16_t bits;
};

}  // namespace wavenet
