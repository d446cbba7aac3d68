// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "util/operation.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// Who waits before a peer that sent it away for want of room, by peer, in the order in which they
/// came. A peer that has given something has room again: who is first asks it then, however long
/// its own pause would last, or the link would be idle. Any thread; a leaf: calls nobody.
template <class Peer>
class BusyLines {
 public:
  using OnTurn = std::function<void()>;

  /// Waits until next() gives `on_turn`, or the operation dies.
  [[nodiscard]] util::Operation join(const Peer& peer, OnTurn on_turn) {
    auto lines = lines_->lock();
    const uint64_t place = lines->places++;
    lines->by_peer[peer].emplace(place, std::move(on_turn));
    return util::Operation([weak = std::weak_ptr(lines_), peer, place] {
      if (const auto all = weak.lock()) static_cast<void>(leave(*all->lock(), peer, place));
    });
  }
  /// The peer gave something. Who is first before it, out of its line; empty: nobody waits.
  [[nodiscard]] OnTurn next(const Peer& peer) {
    auto lines = lines_->lock();
    const auto line = lines->by_peer.find(peer);
    return line == lines->by_peer.end() ? OnTurn()
                                        : leave(*lines, peer, line->second.begin()->first);
  }

 private:
  struct Lines {
    std::map<Peer, std::map<uint64_t, OnTurn>> by_peer;  ///< none is empty
    uint64_t places = 0;
  };
  static OnTurn leave(Lines& lines, const Peer& peer, uint64_t place) {
    const auto line = lines.by_peer.find(peer);
    if (line == lines.by_peer.end()) return {};
    auto taken = line->second.extract(place);
    if (line->second.empty()) lines.by_peer.erase(line);
    return taken ? std::move(taken.mapped()) : OnTurn();
  }

  std::shared_ptr<util::Sync<Lines>> lines_ = std::make_shared<util::Sync<Lines>>();
};

}  // namespace swarmfs::swarm
