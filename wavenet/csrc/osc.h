// Open Sound Control 1.0: what a packet says. https://opensoundcontrol.stanford.edu/spec-1_0.html

#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace wavenet {

struct OscArgument {
    bool is_number;
    double number;     // of the types i, f and d
    std::string text;  // of the type s
};

struct OscMessage {
    std::string address;
    std::vector<OscArgument> arguments;
};

/// A packet that does not follow the specification, or uses other types than i, f, d and s.
struct OscError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The messages of a packet, in order. Those of bundles are as if they came now, whatever their time tags say. Throws
/// OscError.
std::vector<OscMessage> parse_osc(const uint8_t* packet, size_t size);

}  // namespace wavenet
