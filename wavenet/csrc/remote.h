// A remote control: settings of a player that come as OSC messages over UDP.
//
//     /temperature x   /top_k n   /top_p x   /seed n   /label [label] value weight   /restart

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "osc.h"
#include "wavenet.h"

namespace wavenet {

/// Obeys a message. Returns what is wrong with it, or nothing.
std::string obey(const OscMessage& message, const wavenet_model* model, wavenet_player* player);

/// Listens until it is destroyed, in a thread of its own. A setting counts when its packet has come. What is refused
/// changes nothing; a warning on the standard error output counts it, once a second at most.
class Remote {
  public:
    /// where: a port, of the loopback alone, or an IPv4 address of this machine, a colon and a port. Port 0 is any free one.
    /// Throws std::invalid_argument for another text, std::runtime_error if the port cannot be used.
    Remote(const std::string& where, const wavenet_model* model, wavenet_player* player);
    ~Remote();

    /// The address and port at which it listens.
    std::string address() const { return listens_at; }

  private:
    void listen();
    void receive(const uint8_t* packet, size_t size);
    void refuse(const std::string& why);

    const wavenet_model* model;
    wavenet_player* player;
    std::string listens_at;
    int socket = -1;
    uint64_t refused = 0, told = 0;  // messages
    double told_at = -1e9;           // seconds
    std::atomic<bool> ends{false};
    std::thread thread;
};

}  // namespace wavenet
