// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <memory>
#include <unordered_map>

#include "swarm/bulk_allowance.h"
#include "swarm/endpoint.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// What requests for bulk may bring, in bytes per second (0: no limit): from all peers together,
/// and from each. Any thread; a leaf: calls nobody.
class DownloadCaps {
 public:
  /// Peers that are remembered while nothing comes from them.
  static constexpr size_t kMostIdlePeers = 4096;

  DownloadCaps(uint64_t rate, uint64_t rate_per_peer);
  void set_rates(uint64_t rate, uint64_t rate_per_peer);

  /// Zero: one more request may go, as far as all together are concerned. Else how long until then.
  [[nodiscard]] util::Duration wait(util::SteadyTime now) const { return all_->wait(now); }
  /// Likewise, as far as this peer alone is concerned.
  [[nodiscard]] util::Duration wait(const Endpoint& peer, util::SteadyTime now) const;

  /// Of all together, and of the peer.
  using Bookings = std::array<BulkAllowance::Booking, 2>;
  [[nodiscard]] Bookings book(const Endpoint& peer, uint64_t bytes, util::SteadyTime now);

 private:
  struct Each {
    uint64_t rate;
    std::unordered_map<Endpoint, std::shared_ptr<BulkAllowance>> peers;
  };

  const std::shared_ptr<BulkAllowance> all_;
  mutable util::Sync<Each> each_;
};

}  // namespace swarmfs::swarm
