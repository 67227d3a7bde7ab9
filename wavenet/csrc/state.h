// What a stream remembers, in one block of memory that the caller owns: the last codes and, for each layer, a ring of
// the past inputs that its convolution needs.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dot.h"
#include "memory.h"
#include "network.h"

namespace wavenet::ISA {

/// The layout of a state: the rings' positions (layers), the last codes (taps), the rings (length, x_length).
template <class Weight>
class StateLayout {
    using In = Input<Weight>;

    struct Ring {
        int64_t dilation, length, offset;
    };

  public:
    explicit StateLayout(const Network& net) : taps(net.initial_taps), x_length(round_up(net.residual, W)) {
        codes_offset = int64_t(net.layers.size() * sizeof(int32_t));
        bytes = round_up(codes_offset + taps * int64_t(sizeof(uint16_t)), 64);
        for (const Layer& layer : net.layers) {
            rings.push_back({layer.dilation, (net.kernel_size - 1) * layer.dilation, bytes});
            bytes = round_up(bytes + rings.back().length * x_length * int64_t(sizeof(In)), 64);
        }
    }

    int64_t size() const { return bytes; }

    /// The last codes, oldest first.
    uint16_t* codes(uint8_t* state) const { return reinterpret_cast<uint16_t*>(state + codes_offset); }

    void hear(uint8_t* state, uint16_t code) const {
        uint16_t* codes = this->codes(state);
        if (taps > 1) std::memmove(codes, codes + 1, (taps - 1) * sizeof *codes);
        codes[taps - 1] = code;
    }

    /// Layer l's input x[t - (kernel_size - 1 - k) dilation], (x_length).
    In* past_input(uint8_t* state, size_t l, int64_t k) const {
        const Ring& ring = rings[l];
        int64_t slot = slots(state)[l] + k * ring.dilation;
        return inputs(state, ring) + (slot >= ring.length ? slot - ring.length : slot) * x_length;
    }

    /// Replaces layer l's oldest input by its newest, (x_length).
    void remember(uint8_t* state, size_t l, const In* input) const {
        const Ring& ring = rings[l];
        if (!ring.length) return;
        int32_t& slot = slots(state)[l];
        In* oldest = inputs(state, ring) + slot * x_length;
        for (int64_t i = 0; i < x_length; i += W) std::memcpy(oldest + i, input + i, W * sizeof(In));
        slot = slot + 1 == ring.length ? 0 : slot + 1;
    }

    /// A new state, as if every code so far had been this one; `fill_inputs` does the same for each layer's inputs.
    void reset(uint8_t* state, uint16_t code) const {
        std::fill_n(slots(state), rings.size(), 0);
        std::fill_n(codes(state), taps, code);
    }

    /// Fills layer l's ring as if every input so far had been this one, (x_length).
    void fill_inputs(uint8_t* state, size_t l, const In* input) const {
        slots(state)[l] = 0;
        for (int64_t slot = 0; slot < rings[l].length; slot++)
            std::memcpy(inputs(state, rings[l]) + slot * x_length, input, x_length * sizeof(In));
    }

  private:
    int32_t* slots(uint8_t* state) const { return reinterpret_cast<int32_t*>(state); }
    In* inputs(uint8_t* state, const Ring& ring) const { return reinterpret_cast<In*>(state + ring.offset); }

    int64_t taps, x_length, codes_offset, bytes;
    std::vector<Ring> rings;
};

}  // namespace wavenet::ISA
