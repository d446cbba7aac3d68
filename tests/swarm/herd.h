// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fluid.h"
#include "swarm/peer_table.h"
#include "swarm/policy.h"

namespace swarmfs::swarm {

/// Nodes that pull the same layer over the demand lane, each with the product's peer table and
/// policy, over one shared link to the registry.
struct HerdOptions {
  size_t nodes = 2;
  bool peers = true;  ///< false: everybody pulls from the registry alone
  uint64_t image = 240'000'000;
  uint64_t chunk = 1 << 20;
  size_t window = 6;                                       ///< chunks wanted at once, in order
  util::Duration joins{};                                  ///< node i joins at joins * i / nodes
  util::Duration look_up = std::chrono::milliseconds(50);  ///< before it asks anybody
  util::Duration tells_every = std::chrono::milliseconds(500);  ///< others what it has
  util::Duration registry_delay = std::chrono::milliseconds(30);
  util::Duration hop = std::chrono::microseconds(250);
  double registry_rate = 125e6;
  double node_rate = 125e6;           ///< in each direction
  std::optional<size_t> straggler{};  ///< whose link is 20 times narrower
  std::optional<size_t> lost{};       ///< vanishes when it has half of the image
};

struct HerdResult {
  double registry_bytes = 0;
  std::vector<double> took;  ///< seconds from joining to having all; of the lost one 0
};

HerdResult run_herd(const HerdOptions& options);

}  // namespace swarmfs::swarm
