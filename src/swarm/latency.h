// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <cstddef>

#include "util/clock.h"

namespace swarmfs::swarm {

/// Durations as they were measured: a smoothed mean (each new one weighs a fifth) and the 95th
/// percentile of the last 32. Not thread-safe.
class Latency {
 public:
  void add(util::Duration sample);
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// Zero while empty.
  [[nodiscard]] util::Duration mean() const { return mean_; }
  [[nodiscard]] util::Duration p95() const;

 private:
  std::array<util::Duration, 32> last_{};
  size_t count_ = 0;
  util::Duration mean_{};
};

}  // namespace swarmfs::swarm
