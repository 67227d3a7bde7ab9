// Which instruction set's copy of the code runs.

#pragma once

#include <string>
#include <vector>

#include "training.h"

namespace wavenet {

/// What one compilation of the code offers.
struct Code {
    const char* name;
    const Passes<float>* float32;
    const Passes<bf16>* bfloat16;
};

/// Those that are compiled in and that this processor runs, fastest first.
std::vector<Code> available();

}  // namespace wavenet
