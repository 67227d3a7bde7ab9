// Rows of conditioning y, and what each adds to every layer's h: V y. Rows are projected some samples ahead, so that
// several of them, and those of all streams, share each read of V. Equal rows in a row are projected once.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "dense.h"
#include "engine.h"

namespace wavenet::ISA {

template <class Weight>
class Conditions {
    using In = Input<Weight>;

  public:
    Conditions(const PackedNetwork<Weight>& net, int streams)
        : net(net), ahead(at_once(streams)),
          inputs(streams * ahead * net.condition_length), added(streams * ahead * net.added_length) {}

    /// Before sample t of every stream: projects the next rows of those whose projected rows end here.
    void prepare(const Stream* streams, int count, int64_t t) {
        int64_t slots[Engine::BATCH];
        int waiting = 0;
        for (int s = 0; s < count; s++) {
            const Stream& stream = streams[s];
            if (!stream.rows || !ahead) continue;
            Cursor& cursor = cursors[stream.place];
            if (t < cursor.ends[cursor.slot] || ++cursor.slot < cursor.count) continue;
            cursor = {};
            for (int64_t at = t; cursor.count < ahead && at < stream.samples; cursor.ends[cursor.count++] = at) {
                slots[waiting] = stream.place * ahead + cursor.count;
                enter(slots[waiting++], stream.rows + at * stream.row_stride);
                at = end_of_run(stream, at);
            }
        }
        if (waiting) project(slots, waiting);
    }

    /// What the present row of this stream adds to each layer's h, (layers, h_length); null without rows.
    const float* of(const Stream& stream) const {
        if (!stream.rows || !ahead) return nullptr;
        return added.data + (stream.place * ahead + cursors[stream.place].slot) * net.added_length;
    }

  private:
    /// A stream's projected rows: which is its present one, how many there are, and the sample at which each ends.
    struct Cursor {
        int slot = 0, count = 0;
        int64_t ends[Engine::BATCH] = {};
    };

    /// As many as a batch has streams, or fewer, so that what they add stays in the cache beside the weights.
    int64_t at_once(int streams) const {
        if (!net.condition_channels) return 0;
        const int64_t fit = CACHED / (net.added_length * int64_t(sizeof(float)));
        return std::max<int64_t>(std::min<int64_t>(Engine::BATCH, fit) / std::max(streams, 1), 1);
    }

    int64_t end_of_run(const Stream& stream, int64_t at) const {
        if (!stream.row_stride) return stream.samples;
        const float* row = stream.rows + at * stream.row_stride;
        const size_t bytes = size_t(net.condition_channels) * sizeof(float);
        do at++;
        while (at < stream.samples && !std::memcmp(row, stream.rows + at * stream.row_stride, bytes));
        return at;
    }

    /// Stores a row as a product's inputs; bytes fill their range with each row anew.
    void enter(int64_t slot, const float* row) {
        float most = 1e-30f;
        if constexpr (sizeof(Weight) == 1)
            for (int64_t i = 0; i < net.condition_channels; i++) most = std::max(most, std::fabs(row[i]));
        units[slot] = most / 127;
        Scale scale;
        scale.inverse = splat(127 / most), scale.zero = splat(float(PackedNetwork<Weight>::CONDITION_ZERO));
        In* to = inputs.data + slot * net.condition_length;
        for (int64_t i = 0; i < net.condition_length; i += W)
            quantise(to + i, load(row + i, int(std::min<int64_t>(net.condition_channels - i, W))), scale);
    }

    void project(const int64_t* slots, int count) {
        product(
            net, net.condition, count, [&](int i) { return inputs.data + slots[i] * net.condition_length; },
            [&](int i, int64_t lane, F32 v) {
                if constexpr (sizeof(Weight) == 1) v = v * units[slots[i]];
                store(added.data + slots[i] * net.added_length + lane, v);
            });
    }

    static constexpr int64_t CACHED = 128 << 10;  // bytes

    const PackedNetwork<Weight>& net;
    const int64_t ahead;  // rows of each stream that are projected together
    Cursor cursors[Engine::BATCH];
    float units[Engine::BATCH] = {};  // of each slot's bytes, int8 only
    Buffer<In> inputs;
    Buffer<float> added;
};

}  // namespace wavenet::ISA
