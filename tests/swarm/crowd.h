// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>

namespace swarmfs::swarm {

/// A crowd whose nodes want the same layer and tell each other news of it, on a virtual clock. Whom
/// they ask, name and remember is decided by the product's own functions (shareholders.h), with the
/// bounds of LayerViews. No bytes flow: that is herd.h.
struct CrowdOptions {
  size_t nodes = 1000;
  std::chrono::milliseconds joins{1000};  ///< all of them within
  size_t known_at_first = 64;             ///< other nodes, as the DHT tells
  double losses_per_minute = 0;           ///< of the nodes; a fresh one joins for each
  std::chrono::milliseconds news_every{250};
  std::chrono::seconds lasts{5};
  uint64_t seed = 1;
};

struct CrowdResult {
  /// Seconds until nine of ten nodes took at least 62 of the 64 true shareholders for such; less
  /// than 0: never.
  double agrees_after = -1;
  /// At the end, mean and least of what part of the true shareholders a node takes for such.
  double agreement = 0, least_agreement = 0;
  /// News that a node answers, on average and the busiest.
  double news_per_second = 0, busiest_per_second = 0;
};

CrowdResult run_crowd(const CrowdOptions& options);

}  // namespace swarmfs::swarm
