// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>

#include "util/clock.h"

namespace swarmfs::fetch {

/// How much of our share of what others want as well is asked of the registry at once: about what
/// comes within half a second. More would come no sooner where all share one link to the registry,
/// all of it at the end, and until then nobody has anything to pass on. At first it grows with all
/// that comes in time; from the first request that is late on as congestion control does, a step up
/// or a part down, so that those who share the link come to equal parts. No lock: its owner's.
class SharePace {
 public:
  static constexpr uint64_t kLeast = 1 << 20, kMost = 32 << 20;
  static constexpr std::chrono::milliseconds kTakes{500};

  /// Bytes.
  [[nodiscard]] uint64_t limit() const { return limit_; }
  /// So many bytes that the registry was asked for came, the last of them after `took`.
  void came(uint64_t length, util::Duration took);
  /// The longest of late; zero: none yet.
  [[nodiscard]] util::Duration took() const { return took_; }

 private:
  uint64_t limit_ = kLeast;
  util::Duration took_{};
  bool steady_ = false;  ///< something was late
};

}  // namespace swarmfs::fetch
