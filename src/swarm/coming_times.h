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

/// What peers have on its way from the registry, chunk by chunk, as seen from their news. What
/// takes far longer at one of them than its others' would (a narrow link, a broken way to the
/// registry) is late: nobody should wait for it as for what is here. A crowd that is slow together
/// is not late. Not thread-safe.
template <class Peer>
class ComingTimes {
 public:
  /// The peer has these on their way, and no others.
  void told(const Peer& peer, const std::vector<uint64_t>& chunks, util::SteadyTime now) {
    Way& way = ways_[peer];
    const auto before = std::exchange(way.since, {});
    for (const uint64_t chunk : chunks) {
      const auto known = before.find(chunk);
      way.since.emplace(chunk, known == before.end() ? now : known->second);
    }
    const bool some_ended = std::any_of(before.begin(), before.end(), [&](const auto& one) {
      return !way.since.contains(one.first);
    });
    if (some_ended) gaps_.add(now - way.last);
    if (some_ended || before.empty()) way.last = now;
    if (way.since.empty()) ways_.erase(peer);
  }
  void gone(const Peer& peer) { ways_.erase(peer); }

  /// One of the chunks from `first` to before `end` is on its way, and for three times as long as
  /// is usual between two, 5 s at least, none that the peer had on its way has ended.
  [[nodiscard]] bool is_late(const Peer& peer, uint64_t first, uint64_t end,
                             util::SteadyTime now) const {
    const auto found = ways_.find(peer);
    if (found == ways_.end() || gaps_.empty()) return false;
    const Way& way = found->second;
    const auto limit = std::max<util::Duration>(std::chrono::seconds(5), 3 * gaps_.mean());
    return std::any_of(
        way.since.lower_bound(first), way.since.lower_bound(end),
        [&](const auto& one) { return now - std::max(one.second, way.last) > limit; });
  }

 private:
  struct Way {
    std::map<uint64_t, util::SteadyTime> since;
    util::SteadyTime last;  ///< when one of them ended, or the first began
  };
  std::map<Peer, Way> ways_;
  Latency gaps_;  ///< at a peer, from one that ended to the next
};

}  // namespace swarmfs::swarm
