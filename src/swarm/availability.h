// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "util/sync.h"

namespace swarmfs::swarm {

/// Who of a torrent's connected peers has which piece, as they say. Any thread; a leaf.
class Availability {
 public:
  /// Stands for one connection.
  using PeerKey = const void*;

  explicit Availability(uint32_t pieces) : state_(State{{}, std::vector<uint16_t>(pieces)}) {}

  /// `address`: literal, without the port.
  void connected(PeerKey peer, const std::string& address);
  void gone(PeerKey peer);
  void has(PeerKey peer, const std::vector<bool>& pieces);
  void has(PeerKey peer, uint32_t piece);
  void lacks(PeerKey peer, uint32_t piece);

  [[nodiscard]] unsigned copies(uint32_t piece) const;
  [[nodiscard]] bool is_connected(const std::string& address) const;

  struct Summary {
    unsigned peers = 0;
    unsigned rarest = 0;  ///< copies of the piece that fewest have, ourselves not counted
  };
  [[nodiscard]] Summary summary() const;

 private:
  struct Peer {
    std::string address;
    std::vector<bool> pieces;
  };
  struct State {
    std::map<PeerKey, Peer> peers;
    std::vector<uint16_t> copies;
  };
  static void set(State& state, Peer& peer, uint32_t piece, bool has);

  util::Sync<State> state_;
};

}  // namespace swarmfs::swarm
