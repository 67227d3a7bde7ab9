// The choice of the instruction set whose copy of the code runs.

#pragma once

#include <memory>
#include <vector>

#include "engine.h"
#include "training.h"

namespace wavenet {

/// What one compilation of the code offers.
struct Code {
    const char* name;
    const Passes<float>* float32;
    const Passes<bf16>* bfloat16;
    std::unique_ptr<Engine> (*make_engine)(const Network&);
};

/// Those that are compiled in and that this processor runs, fastest first.
std::vector<Code> available();

}  // namespace wavenet
