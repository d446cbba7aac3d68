// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "util/clock.h"
#include "util/outcome.h"

namespace swarmfs::registry {

/// What to do about an answer that is not the one wanted.
struct Verdict {
  enum class Action { fail, retry, authenticate, follow };
  Action action = Action::fail;
  util::Fault fault = util::Fault::unavailable;
};

/// Pure: the policy for one answer. `authenticated_again`: this request already got fresh
/// credentials.
Verdict judge(int status, bool authenticated_again);

/// RFC 9110 Retry-After: "120" (seconds) or an IMF-fixdate; at most 5 minutes, never negative.
std::optional<std::chrono::milliseconds> parse_retry_after(
    const std::optional<std::string>& header, std::chrono::system_clock::time_point now);

/// Stops asking a host that fails: opens after five failures in a row, then lets one request in
/// after a pause that doubles from 1 s to 4 s with each one that fails: an outage is noticed to be
/// over well before a reader's deadline. Not synchronised.
class CircuitBreaker {
 public:
  /// Zero: go ahead (and report how it went). Else: how long it stays open.
  util::Duration wait(util::SteadyTime now);
  /// As wait(), without going.
  [[nodiscard]] util::Duration open_for(util::SteadyTime now) const;
  void succeeded();
  void failed(util::SteadyTime now);

 private:
  static constexpr unsigned kFailures = 5;
  static constexpr std::chrono::seconds kShortest{1}, kLongest{4};

  unsigned failures_ = 0;
  util::SteadyTime until_{};
  std::chrono::seconds pause_ = kShortest;
  bool trying_ = false;  ///< half open: one request decides
};

}  // namespace swarmfs::registry
