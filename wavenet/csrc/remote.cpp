#include "remote.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#if __has_include(<sys/socket.h>)
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#endif

namespace wavenet {

namespace {

constexpr size_t LARGEST = 65507;  // bytes of a UDP packet
constexpr double QUIET = 1;        // seconds between two warnings

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string plain(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", number);
    return text;
}

std::string name(const OscArgument& argument) { return argument.is_number ? plain(argument.number) : argument.text; }

bool whole(double number, double most) { return number >= 0 && number <= most && number == std::floor(number); }

/// A setting that is one number.
struct Number {
    const char *address, *allowed;
    int (*set)(wavenet_player*, double);
};

const Number NUMBERS[] = {
    {"/temperature", "a number of at least 0", [](wavenet_player* p, double x) { return wavenet_set_temperature(p, x); }},
    {"/top_p", "greater than 0 and at most 1, and 1 for a network that ends in a mixture",
     [](wavenet_player* p, double x) { return wavenet_set_top_p(p, x); }},
    {"/top_k", "a whole number of at least 0, and 0 for a network that ends in a mixture",
     [](wavenet_player* p, double x) { return whole(x, 1e9) ? wavenet_set_top_k(p, int(x)) : -1; }},
    {"/seed", "a whole number of at least 0",
     [](wavenet_player* p, double x) { return whole(x, 1e18) ? wavenet_set_seed(p, uint64_t(x)) : -1; }},
};

std::string set_label(const std::vector<OscArgument>& given, const wavenet_model* model, wavenet_player* player) {
    if (given.size() < 2 || given.size() > 3 || !given.back().is_number)
        return "/label needs a value's name and a weight, or a label, a value and a weight";
    const std::string value = name(given[given.size() - 2]), label = given.size() == 3 ? name(given[0]) : "";
    const int i = wavenet_find_label(model, given.size() == 3 ? label.c_str() : nullptr, value.c_str());
    if (i == -2) return "/label: " + value + " is a value of several labels; send label, value and weight";
    if (i < 0) return "/label: the network knows no " + label + (label.empty() ? "" : " ") + value;
    if (wavenet_set_label(player, i, given.back().number))
        return "/label: the weight of " + value + " is " + plain(given.back().number) + ", but it must be from -10 to 10";
    return "";
}

}  // namespace

std::string obey(const OscMessage& message, const wavenet_model* model, wavenet_player* player) {
    const std::vector<OscArgument>& given = message.arguments;
    for (const Number& number : NUMBERS) {
        if (message.address != number.address) continue;
        if (given.size() != 1 || !given[0].is_number) return message.address + " needs one number, " + number.allowed;
        if (!number.set(player, given[0].number)) return "";
        return message.address + " is " + plain(given[0].number) + ", but it must be " + number.allowed;
    }
    if (message.address == "/label") return set_label(given, model, player);
    if (message.address == "/restart") {
        const bool released = given.size() == 1 && given[0].is_number && given[0].number == 0;  // a button that is let go
        if (!released) wavenet_restart(player);
        return "";
    }
    return message.address + " is not one of /temperature, /top_k, /top_p, /seed, /label, /restart";
}

void Remote::receive(const uint8_t* packet, size_t size) {
    try {
        for (const OscMessage& message : parse_osc(packet, size)) {
            const std::string wrong = obey(message, model, player);
            if (!wrong.empty()) refuse(wrong);
        }
    } catch (const OscError& error) {
        refuse(std::string("a packet is not OSC: ") + error.what());
    }
}

void Remote::refuse(const std::string& why) {
    refused++;
    if (seconds() - told_at < QUIET) return;
    std::string line = why.substr(0, 200);
    std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < 32 || c == 127; }, '?');  // a terminal's commands
    std::fprintf(stderr, "warning: osc: %s (%llu refused so far)\n", line.c_str(), (unsigned long long)refused);
    told = refused;
    told_at = seconds();
}

#if __has_include(<sys/socket.h>)

Remote::Remote(const std::string& where, const wavenet_model* model, wavenet_player* player) : model(model), player(player) {
    const size_t colon = where.find(':');
    const std::string host = colon == std::string::npos ? "127.0.0.1" : where.substr(0, colon);
    const std::string port = colon == std::string::npos ? where : where.substr(colon + 1);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    const bool number = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stoi(port) > 65535 || inet_pton(AF_INET, host.c_str(), &place.sin_addr) != 1)
        throw std::invalid_argument("osc is '" + where + "', but it must be a port, such as 9000, or an address of this machine "
                                    "and a port, such as 0.0.0.0:9000");
    place.sin_port = htons(uint16_t(std::stoi(port)));
    socket = ::socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t length = sizeof place;
    timeval patience{0, 50000};
    if (socket < 0 || setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        bind(socket, reinterpret_cast<sockaddr*>(&place), length) ||
        getsockname(socket, reinterpret_cast<sockaddr*>(&place), &length)) {
        const std::string why = std::strerror(errno);
        if (socket >= 0) close(socket);
        throw std::runtime_error("cannot listen for OSC at " + host + ":" + port + ": " + why);
    }
    listens_at = host + ":" + std::to_string(ntohs(place.sin_port));
    thread = std::thread([this] { listen(); });
}

Remote::~Remote() {
    ends = true;
    thread.join();
    close(socket);
    if (refused > told) std::fprintf(stderr, "warning: osc: %llu messages were refused\n", (unsigned long long)refused);
}

void Remote::listen() {
    std::vector<uint8_t> packet(LARGEST);
    while (!ends) {
        const ssize_t size = recv(socket, packet.data(), packet.size(), 0);
        if (size >= 0) receive(packet.data(), size_t(size));  // less than 0: nothing came for a while
    }
}

#else

Remote::Remote(const std::string&, const wavenet_model*, wavenet_player*) {
    throw std::runtime_error("osc needs sockets as POSIX has them, which this build lacks");
}

Remote::~Remote() = default;

#endif

}  // namespace wavenet
