// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "util/clock.h"

namespace swarmfs::registry {

/// What a host may be asked; 0: no limit.
struct Limits {
  unsigned connections = 0;        ///< for bulk, at once; a fault may use more
  double requests_per_second = 0;  ///< all that we start there, but tokens and redirects
  double bytes_per_second = 0;     ///< of bulk, counted as it is asked for
};
/// Unless told otherwise: of one node, and of all together.
inline constexpr Limits kNodeLimits{8, 0, 0}, kClusterLimits{32, 0, 0};

/// Other nodes of the cluster at the same host.
struct Fellows {
  unsigned asking = 0;
  util::SteadyTime held_until{};  ///< the host told one of them to wait (Retry-After)
};

/// What is known of them; any thread, never blocks.
using AskFellows = std::function<Fellows(const std::string& host)>;

/// What others should know of our dealings with a host.
struct HostUse {
  bool asks = false;
  util::Duration held{};  ///< it told us to wait so long
};

/// Our part of what all nodes together may ask, where `asking` others do: an equal one, and of
/// connections at least one. Pure.
Limits part_of(const Limits& all, unsigned asking);
/// The stricter of the two in each respect. Pure.
Limits stricter(const Limits& one, const Limits& other);

}  // namespace swarmfs::registry
