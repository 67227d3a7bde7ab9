// What wavenet.h keeps from its readers.

#pragma once

#include <memory>

#include "player.h"
#include "wavenet.h"

#if !defined(WITHOUT_THREADS) && !defined(__wasm__)
#include "runner.h"
#endif

struct wavenet_model {
    std::shared_ptr<const wavenet::Engine> engine;
    const char* instruction_set;
};

struct wavenet_player {
    explicit wavenet_player(const wavenet_model& model) : player(model.engine) {}

    wavenet::Player player;
#if !defined(WITHOUT_THREADS) && !defined(__wasm__)
    wavenet::Runner runner{player};
    bool started() const { return runner.started(); }
#else
    static constexpr bool started() { return false; }
#endif
};
