// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/budget.h"

#include <algorithm>

namespace swarmfs::registry {

namespace {

template <class Number>
Number smaller_limit(Number one, Number other) {
  if (one == 0 || other == 0) return std::max(one, other);
  return std::min(one, other);
}

}  // namespace

Limits part_of(const Limits& all, unsigned asking) {
  const unsigned nodes = asking + 1;
  const unsigned connections = all.connections == 0 ? 0 : std::max(1u, all.connections / nodes);
  return {connections, all.requests_per_second / nodes, all.bytes_per_second / nodes};
}

Limits stricter(const Limits& one, const Limits& other) {
  return {smaller_limit(one.connections, other.connections),
          smaller_limit(one.requests_per_second, other.requests_per_second),
          smaller_limit(one.bytes_per_second, other.bytes_per_second)};
}

}  // namespace swarmfs::registry
