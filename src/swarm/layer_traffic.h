// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <map>

#include "util/clock.h"
#include "util/digest.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// Bytes per second, smoothed: what came counts for e^-1 of itself after kSmoothing. A value; the
/// time is told to it.
class RateMeter {
 public:
  static constexpr std::chrono::seconds kSmoothing{4};

  void add(uint64_t bytes, util::SteadyTime now);
  [[nodiscard]] double per_second(util::SteadyTime now) const;

 private:
  double rate_ = 0;
  util::SteadyTime at_{};
};

/// What other nodes give us of each layer now, and we give them, for who looks; not for metrics: a
/// label per layer is too many. Any thread; a leaf.
class LayerTraffic {
 public:
  struct Rates {
    double received = 0;  ///< bytes per second, as given
    double given = 0;
  };

  void received(const util::Digest& layer, uint64_t bytes, util::SteadyTime now);
  void given(const util::Digest& layer, uint64_t bytes, util::SteadyTime now);
  [[nodiscard]] Rates of(const util::Digest& layer, util::SteadyTime now) const;
  /// Layers that are remembered: those of the last minute.
  [[nodiscard]] size_t size() const { return layers_.lock()->size(); }

 private:
  struct Entry {
    RateMeter received, given;
    util::SteadyTime last;
  };
  using Entries = std::map<util::Digest, Entry>;
  static Entry& entry(Entries& layers, const util::Digest& layer, util::SteadyTime now);

  util::Sync<Entries> layers_;
};

}  // namespace swarmfs::swarm
