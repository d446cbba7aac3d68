// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "swarm/dht_key.h"
#include "swarm/endpoint.h"
#include "util/clock.h"

namespace swarmfs::swarm {

/// How long an announcement is believed; it is said again at least every ten minutes.
inline constexpr std::chrono::minutes kAnnouncementLife{25};

/// What others announced to our part of the DHT: who has or wants what a key stands for. Bounded,
/// since anybody who can send UDP can announce. Not thread-safe.
class Announcements {
 public:
  struct Limits {
    size_t keys = 100'000;
    size_t peers = 1'000;    ///< of one key; a new one takes the place of the oldest
    size_t total = 200'000;  ///< of all keys; beyond that a newcomer needs a place of its key's
  };
  Announcements() : Announcements(Limits{}) {}
  explicit Announcements(Limits limits) : limits_(limits) {}

  void add(const DhtKey& key, const Endpoint& peer, util::SteadyTime now);
  /// At most `most` of the wanted family, the latest ones.
  [[nodiscard]] std::vector<Endpoint> of(const DhtKey& key, bool ipv6, size_t most,
                                         util::SteadyTime now) const;
  void forget_old(util::SteadyTime now);
  [[nodiscard]] size_t keys() const { return by_key_.size(); }
  [[nodiscard]] size_t peers() const { return peers_; }

 private:
  struct Said {
    Endpoint peer;
    util::SteadyTime at;
  };
  const Limits limits_;
  std::map<DhtKey, std::vector<Said>> by_key_;  ///< the latest last
  size_t peers_ = 0;
};

}  // namespace swarmfs::swarm
