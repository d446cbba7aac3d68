// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "swarm/latency.h"
#include "util/clock.h"

namespace swarmfs::swarm {

/// What peers have on its way from the registry, chunk by chunk, as seen from their news. Where
/// nothing comes for far longer than elsewhere (a narrow link, a broken way to the registry), what
/// is on its way is late: nobody should wait for it as for what is here. What takes as long
/// everywhere (a registry that is slow, or silent to all) is not late, nor is what somebody is
/// silent about. Not thread-safe.
template <class Peer>
class ComingTimes {
 public:
  /// The peer has these on their way, and no others. `is_here`: whether it has a chunk by now, of
  /// those that were: what came to nothing tells nothing.
  template <class IsHere>
  void told(const Peer& peer, const std::vector<uint64_t>& chunks, const IsHere& is_here,
            util::SteadyTime now) {
    Way& way = ways_[peer];
    const auto before = std::exchange(way.since, {});
    for (const uint64_t chunk : chunks) {
      const auto known = before.find(chunk);
      way.since.emplace(chunk, known == before.end() ? now : known->second);
    }
    const bool some_came = std::any_of(before.begin(), before.end(), [&](const auto& one) {
      return !way.since.contains(one.first) && is_here(one.first);
    });
    if (some_came) {
      gaps_.add(now - way.came);
      came_ = now;
    }
    if (some_came || before.empty()) way.came = now;
    way.told = now;
    if (way.since.empty()) ways_.erase(peer);
  }
  /// Nothing is known of it any more.
  void gone(const Peer& peer) { ways_.erase(peer); }

  /// One of the chunks from `first` to before `end` is on its way, and nothing of what the peer had
  /// on its way has come for three times as long as is usual between two (5 s at least), while
  /// others' did, or nobody else had any.
  [[nodiscard]] bool is_late(const Peer& peer, uint64_t first, uint64_t end) const {
    const auto found = ways_.find(peer);
    if (found == ways_.end() || gaps_.empty()) return false;
    const Way& way = found->second;
    const auto limit = std::max<util::Duration>(std::chrono::seconds(5), 3 * gaps_.mean());
    const auto until = ways_.size() > 1 ? std::min(way.told, came_) : way.told;
    return std::any_of(
        way.since.lower_bound(first), way.since.lower_bound(end),
        [&](const auto& one) { return until - std::max(one.second, way.came) > limit; });
  }

 private:
  struct Way {
    std::map<uint64_t, util::SteadyTime> since;
    util::SteadyTime came;  ///< one of them, last; or the first began
    util::SteadyTime told;
  };
  std::map<Peer, Way> ways_;  ///< of those who have something on its way
  Latency gaps_;              ///< at a peer, from one that came to the next
  util::SteadyTime came_;     ///< anything anywhere, last
};

}  // namespace swarmfs::swarm
