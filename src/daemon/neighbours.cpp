// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/neighbours.h"

namespace swarmfs::daemon {

std::vector<control::PeerReport> ClusterNeighbours::peers() const {
  const auto now = std::chrono::steady_clock::now();
  std::vector<control::PeerReport> made;
  for (const auto& peer : node_.swarm().peers()) made.push_back(report_of(peer, now));
  return made;
}

std::vector<control::HolderReport> ClusterNeighbours::holders(const util::Digest& layer,
                                                              uint64_t size) const {
  return holders_of(node_.swarm().members(layer), size);
}

std::optional<control::ClusterReport> ClusterNeighbours::cluster() const {
  return control::ClusterReport{node_.node_id(), zone_, listen_, node_.swarm().peers().size(),
                                node_.swarm().dht_nodes()};
}

}  // namespace swarmfs::daemon
