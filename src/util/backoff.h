// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <optional>

namespace swarmfs::util {

struct BackoffPolicy {
  std::chrono::milliseconds first{200};
  std::chrono::milliseconds longest{10'000};
};

/// How long to wait before try number `attempt` (1 = first retry): doubling, capped, with "equal
/// jitter" (half fixed, half random). `random` in [0, 1). `retry_after`, where the server named
/// one, is a lower bound.
std::chrono::milliseconds retry_delay(const BackoffPolicy& policy, unsigned attempt, double random,
                                      std::optional<std::chrono::milliseconds> retry_after = {});

}  // namespace swarmfs::util
