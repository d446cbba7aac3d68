// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>

#include "layer/file_table.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/sync.h"
#include "util/units.h"

namespace swarmfs::content {

/// Reads that waited long and got nothing. What its read-ahead did not bring the kernel asks for
/// again at once, for the reader whose patience has just been used up: that second read must not
/// wait as long again. Any thread.
class VainReads {
 public:
  struct Read {
    util::Digest layer;
    layer::InodeIndex file{};
    util::ByteRange range;
  };
  /// One that waited no longer than it would be remembered is not.
  void note(const Read& read, util::SteadyTime started, util::SteadyTime now);
  /// Whether some of this was waited for in vain just now.
  [[nodiscard]] bool recent(const Read& read, util::SteadyTime now);

 private:
  static constexpr std::chrono::seconds kMemory{1};
  struct Entry {
    Read read;
    util::SteadyTime ended;
  };
  util::Sync<std::deque<Entry>> entries_;  ///< oldest first
};

}  // namespace swarmfs::content
