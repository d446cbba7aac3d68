// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/backoff.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace swarmfs::util {

std::chrono::milliseconds retry_delay(const BackoffPolicy& policy, unsigned attempt, double random,
                                      std::optional<std::chrono::milliseconds> retry_after) {
  assert(attempt >= 1 && random >= 0 && random < 1);
  const double longest = static_cast<double>(policy.longest.count());
  const double full = std::min(
      longest, static_cast<double>(policy.first.count()) * std::exp2(std::min(attempt - 1, 40u)));
  const std::chrono::milliseconds delay(static_cast<int64_t>(full / 2 + full / 2 * random));
  return std::max(delay, retry_after.value_or(delay));
}

}  // namespace swarmfs::util
