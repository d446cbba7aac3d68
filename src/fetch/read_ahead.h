// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>

#include "util/units.h"

namespace swarmfs::fetch {

/// Tells sequential access to a layer from random access. Pure; not synchronised.
class ReadAhead {
 public:
  static constexpr uint64_t kLeast = 256 * 1024;
  static constexpr uint64_t kMost = 4 << 20;
  /// How far ahead of the last access the next one still counts as sequential.
  static constexpr uint64_t kSlack = 256 * 1024;

  /// How many bytes beyond `range` to fetch as well: 0 at random, else doubling up to kMost.
  uint64_t on_access(util::ByteRange range) noexcept;

 private:
  uint64_t last_end_ = UINT64_MAX;
  uint64_t window_ = 0;
};

}  // namespace swarmfs::fetch
