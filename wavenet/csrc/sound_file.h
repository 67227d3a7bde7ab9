// WAV files, read and written by wavenet-play.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#if __has_include(<unistd.h>)
#include <sys/ioctl.h>
#include <unistd.h>
#endif

namespace wavenet {

inline const std::string RAW = "-", STANDARD_OUTPUT = "/dev/stdout";
constexpr uint32_t UNKNOWN_SIZE = 0xFFFFFFFF;  // as ffmpeg writes it; programs then read to the end

inline bool is_stdout(const std::string& path) { return path == RAW || path == STANDARD_OUTPUT; }

inline bool is_terminal(const std::string& path) {
#if __has_include(<unistd.h>)
    return is_stdout(path) && isatty(1);
#else
    return false;
#endif
}

/// Whether the path is a pipe, a device or the standard output, to which data is written directly.
inline bool streamed(const std::string& path) {
    std::error_code ignored;
    return is_stdout(path) || std::filesystem::is_other(std::filesystem::status(path, ignored));
}

/// Mono, 16 bits. A file's header is written again at the end, with the length. A stream's header leaves the length
/// unknown, and RAW has no header.
class WavFile {
  public:
    WavFile(const std::string& path, int64_t rate)
        : path(path), rate(uint32_t(rate)), stream(streamed(path)),
          file(is_stdout(path) ? stdout : std::fopen(path.c_str(), "wb")) {
        check(file != nullptr);
        if (path != RAW) header(UNKNOWN_SIZE, UNKNOWN_SIZE);
    }

    void write(const std::vector<int16_t>& samples) {
        put(samples.data(), samples.size() * 2);
        bytes += uint32_t(samples.size() * 2);
        if (stream) check(std::fflush(file) == 0);
    }

    /// Samples that lie in a pipe because its reader has not taken them; 0 for other files.
    int64_t unread() const {
        int waiting = 0;
#if __has_include(<unistd.h>) && defined(FIONREAD)
        if (!stream || ioctl(fileno(file), FIONREAD, &waiting)) waiting = 0;
#endif
        return waiting / 2;
    }

    void close() {
        if (!stream) {
            check(std::fseek(file, 0, SEEK_SET) == 0);
            header(36 + bytes, bytes);
        }
        check(std::fclose(file) == 0);
    }

  private:
    void header(uint32_t riff_size, uint32_t data_size) {
        auto number = [this](uint32_t value, size_t size) { put(&value, size); };
        put("RIFF", 4), number(riff_size, 4), put("WAVEfmt ", 8), number(16, 4), number(1, 2), number(1, 2);
        number(rate, 4), number(2 * rate, 4), number(2, 2), number(16, 2), put("data", 4), number(data_size, 4);
    }

    void put(const void* data, size_t size) { check(std::fwrite(data, 1, size, file) == size); }

    void check(bool written) const {
        if (!written) throw std::runtime_error("cannot write " + path + ": free space, or choose another place");
    }

    std::string path;
    uint32_t rate, bytes = 0;
    bool stream;
    FILE* file;
};

/// The samples of a WAV file, as floats; several channels become their mean. Throws std::runtime_error for another kind
/// of file, another encoding than whole numbers of 16, 24 or 32 bits and float32, and another rate.
inline std::vector<float> read_wav(const std::string& path, const std::vector<uint8_t>& bytes, int64_t rate) {
    auto number = [&](size_t at, size_t size) {
        uint32_t value = 0;
        std::memcpy(&value, bytes.data() + at, size);
        return value;
    };
    auto refuse = [&](const std::string& found) {
        throw std::runtime_error(path + found + ": convert it with `ffmpeg -i " + path + " -ar " + std::to_string(rate) +
                                 " -ac 1 -c:a pcm_s16le prime.wav`");
    };
    if (bytes.size() < 12 || std::memcmp(&bytes[0], "RIFF", 4) || std::memcmp(&bytes[8], "WAVE", 4)) refuse(" is not a WAV file");
    uint32_t kind = 0, channels = 0, bits = 0;
    for (size_t at = 12; at + 8 <= bytes.size();) {
        const std::string name(bytes.begin() + at, bytes.begin() + at + 4);
        const size_t from = at + 8, size = std::min<size_t>(number(at + 4, 4), bytes.size() - from);
        if (name == "fmt " && size >= 16) {
            kind = number(from, 2), channels = number(from + 2, 2), bits = number(from + 14, 2);
            if (kind == 0xFFFE && size >= 26) kind = number(from + 24, 2);  // the extensible form
            if (number(from + 4, 4) != rate) refuse(" has " + std::to_string(number(from + 4, 4)) + " Hz, but the network " + std::to_string(rate));
        }
        if (name == "data") {
            if (!channels || !((kind == 1 && (bits == 16 || bits == 24 || bits == 32)) || (kind == 3 && bits == 32)))
                refuse(" is encoded in a way that wavenet-play does not read");
            std::vector<float> samples(size / (channels * bits / 8));
            for (size_t i = 0; i < samples.size() * channels; i++) {
                const uint32_t value = number(from + i * bits / 8, bits / 8) << (32 - bits);
                float sample;
                std::memcpy(&sample, &value, 4);
                if (kind == 1) sample = float(int32_t(value)) / 2147483648.0f;
                samples[i / channels] += sample / float(channels);
            }
            return samples;
        }
        at = from + size + size % 2;
    }
    refuse(" holds no sound");
    return {};
}

}  // namespace wavenet
