// An exported file of random shape and weights, with labels or without.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../network.h"

namespace wavenet {

inline std::mt19937 rng;

inline int between(int low, int high) { return low + int(rng() % unsigned(high - low + 1)); }
inline float unit() { return float(rng() >> 8) / 8388608.0f - 1.0f; }

struct Example {
    std::vector<uint8_t> bytes;
    std::vector<LabelValue> labels;
    std::vector<float> table;  // what each label value adds to h, (layers, 2 gate, values)

    void put(const void* from, size_t size) {
        const uint8_t* p = static_cast<const uint8_t*>(from);
        bytes.insert(bytes.end(), p, p + size);
    }
    void put(uint32_t value) { put(&value, 4); }
    void put(float value) { put(&value, 4); }

    void matrix(uint32_t precision, int rows, int columns) {
        if (!rows) return;
        if (precision == 2) {
            put(1.0f / 127);
            put(128u);
            for (int r = 0; r < rows; r++) put(1.0f / (127 * std::sqrt(float(columns))));
        }
        for (int r = 0; r < rows; r++) put(unit() * 0.1f);
        const bool extreme = between(0, 3) == 0;  // int8 weights of 127 and -127 alone: their sums are the largest
        for (int64_t i = 0; i < int64_t(rows) * columns; i++) {
            float w = 2 * unit() / std::sqrt(float(columns));
            uint32_t bits;
            std::memcpy(&bits, &w, 4);
            int8_t small = int8_t(127 * unit());
            if (extreme) small = small < 0 ? -127 : 127;
            if (precision == 0) put(w);
            if (precision == 1) bits >>= 16, put(&bits, 2);
            if (precision == 2) put(&small, 1);
        }
        while (bytes.size() % 4) bytes.push_back(0);
    }

    void name(const std::string& text) {
        put(uint32_t(text.size()));
        put(text.data(), text.size());
        while (bytes.size() % 4) bytes.push_back(0);
    }

    /// Two labels with some values each, or none.
    void put_labels(int rows) {
        for (const char* label : {"tempo", "spr\u00e5k"})
            for (int i = between(0, 4); i > 0; i--) labels.push_back({label, std::string(size_t(i), 'a')});
        put(uint32_t(labels.size()));
        for (const LabelValue& one : labels) name(one.label), name(one.value);
        for (size_t i = 0; i < size_t(rows) * labels.size(); i++) put(table.emplace_back(unit()));
    }

    explicit Example(uint32_t precision) {
        put("WAVENET\n", 8);
        const uint32_t version = uint32_t(between(2, 3));
        put(version);
        int taps = between(1, 3), kernel = between(1, 4), residual = between(1, 40), gate = between(1, 40);
        int skip = between(1, 50), head = between(1, 50), layers = between(1, 5);
        int mixtures = between(0, 1) * between(1, 12);
        for (int n : {int(precision), 16000, 255, mixtures, taps, kernel, residual, gate, skip, head, layers}) put(uint32_t(n));
        for (int l = 0; l < layers; l++) put(uint32_t(between(1, 9)));
        for (int i = 0; i < taps * CODES * residual; i++) put(unit());
        for (int l = 0; l < layers; l++) {
            matrix(precision, 2 * gate, kernel * residual);
            matrix(precision, l + 1 < layers ? residual : 0, gate);
        }
        matrix(precision, skip, layers * gate);
        matrix(precision, head, skip);
        matrix(precision, mixtures ? 3 * mixtures : CODES, head);
        if (version > 2) put_labels(layers * 2 * gate);
        seal();
    }

    /// Appends the checksum.
    void seal() {
        uint32_t value = ~0u;
        for (uint8_t byte : bytes) {
            value ^= byte;
            for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
        }
        put(~value);
    }
};

}  // namespace wavenet
