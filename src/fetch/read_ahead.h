// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>

#include "util/units.h"

namespace swarmfs::fetch {

/// Tells sequential access to a layer from random access. Pure; not synchronised.
class ReadAhead {
 public:
  /// A run shorter than this is no run: neighbours are often touched by chance.
  static constexpr uint64_t kLeast = 1 << 20;
  static constexpr uint64_t kMost = 4 << 20;
  /// How far ahead of the last access the next one still counts as sequential.
  static constexpr uint64_t kSlack = 256 * 1024;

  /// How many bytes beyond `range` to fetch as well: 0 at random, else as much as the run so far,
  /// up to kMost; so at most half of what is fetched is in vain.
  uint64_t on_access(util::ByteRange range) noexcept;

 private:
  uint64_t last_end_ = UINT64_MAX;
  uint64_t run_ = 0;
};

}  // namespace swarmfs::fetch
