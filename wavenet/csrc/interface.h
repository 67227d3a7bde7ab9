// What wavenet.h keeps from its readers.

#pragma once

#include <atomic>
#include <memory>

#include "player.h"
#include "wavenet.h"

struct wavenet_model {
    std::shared_ptr<const wavenet::Engine> engine;
    const char* instruction_set;
};

struct wavenet_player {
    wavenet::Player player;
    std::atomic<bool> started{false};
    std::shared_ptr<void> runner = {};  // a Runner, where there are threads
};
