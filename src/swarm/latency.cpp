// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/latency.h"

#include <algorithm>

namespace swarmfs::swarm {

void Latency::add(util::Duration sample) {
  mean_ = empty() ? sample : mean_ + (sample - mean_) / 5;
  last_[count_++ % last_.size()] = sample;
}

util::Duration Latency::p95() const {
  if (empty()) return {};
  auto sorted = last_;
  const size_t filled = std::min(count_, sorted.size());
  const size_t rank = (filled * 95 + 99) / 100 - 1;
  const auto at = sorted.begin() + static_cast<ptrdiff_t>(rank);
  std::nth_element(sorted.begin(), at, sorted.begin() + static_cast<ptrdiff_t>(filled));
  return *at;
}

}  // namespace swarmfs::swarm
