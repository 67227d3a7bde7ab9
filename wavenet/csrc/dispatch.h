// Chooses the instruction set whose copy of the code runs.

#pragma once

#include <memory>
#include <vector>

#include "engine.h"
#include "training.h"

namespace wavenet {

/// What the copy for one instruction set offers.
struct Code {
    const char* name;
    const Passes<float>* float32;
    const Passes<bf16>* bfloat16;
    std::unique_ptr<Engine> (*make_engine)(const Network&);
};

/// The compiled copies that this processor runs, fastest first.
std::vector<Code> available();

}  // namespace wavenet
