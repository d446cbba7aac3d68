// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/share_pace.h"

#include <algorithm>

namespace swarmfs::fetch {

namespace {

constexpr uint64_t kStep = 1 << 20;  ///< in the time that all of the limit takes
constexpr uint64_t kRetreat = 4;     ///< a quarter of the limit, likewise

}  // namespace

void SharePace::came(uint64_t length, util::Duration took) {
  took_ = std::max(took, took_ - took_ / 8);
  const bool late = took > kTakes;
  steady_ |= late;
  const uint64_t more = steady_ ? length * kStep / limit_ : length;
  limit_ = late ? limit_ - std::min(limit_, length / kRetreat) : limit_ + more;
  limit_ = std::clamp(limit_, kLeast, kMost);
}

}  // namespace swarmfs::fetch
