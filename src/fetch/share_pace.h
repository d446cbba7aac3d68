// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "util/clock.h"

namespace swarmfs::fetch {

/// How much of our share of what others want as well is asked of the registry at once: about what
/// comes within half a second. More would come no sooner where all share one link to the registry,
/// all of it at the end, and until then nobody has anything to pass on. At first it grows with all
/// that comes in time; from the first request that is late on as congestion control does, a step up
/// or a part down, so that those who share the link come to equal parts. What nobody asked for does
/// not make it grow, and after ten seconds without any it begins anew. No lock: its owner's.
class SharePace {
 public:
  static constexpr uint64_t kLeast = 256 << 10, kMost = 32 << 20;
  static constexpr std::chrono::milliseconds kTakes{500};
  static constexpr std::chrono::seconds kForgets{10};
  /// So many times as much may stand in line for peers.
  static constexpr uint64_t kTurnsInLine = 4;
  static constexpr size_t kMostSharing = 128;

  /// Whether it holds where so many others bring the layer in: there are some, and most of them
  /// hear of each other's news soon enough. Among a thousand, who do not, two owners would often be
  /// asked for what the first has in line.
  static constexpr bool holds_among(size_t wanting) {
    return wanting > 0 && wanting <= kMostSharing;
  }

  /// A request of so many bytes, from its first byte to the last.
  struct Request {
    uint64_t length = 0;
    util::Duration took{};
    uint64_t asked = 0;  ///< bytes of all that were asked for then, with these
  };
  void came(const Request& request, util::SteadyTime now);
  /// Bytes.
  [[nodiscard]] uint64_t limit(util::SteadyTime now) const;
  /// The longest of late; zero: not known.
  [[nodiscard]] util::Duration took(util::SteadyTime now) const;

 private:
  struct State {
    uint64_t limit = kLeast;
    util::Duration took{};
    bool steady = false;  ///< something was late
  };
  [[nodiscard]] State state(util::SteadyTime now) const;

  State state_;
  util::SteadyTime last_{};
};

}  // namespace swarmfs::fetch
