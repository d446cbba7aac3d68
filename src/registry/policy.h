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

/// "120" (RFC 9110 Retry-After in seconds), at most 5 minutes. Dates are ignored.
std::optional<std::chrono::milliseconds> parse_retry_after(
    const std::optional<std::string>& header);

/// Stops asking a host that fails: opens after five failures in a row, then lets one request in
/// after a pause that doubles from 2 s to 30 s. Not synchronised.
class CircuitBreaker {
 public:
  /// Zero: go ahead (and report how it went). Else: how long it stays open.
  util::Duration wait(util::SteadyTime now);
  void succeeded();
  void failed(util::SteadyTime now);

 private:
  unsigned failures_ = 0;
  util::SteadyTime until_{};
  std::chrono::seconds pause_{2};
};

/// A token bucket: so many requests per second, and one second's worth at once. Not synchronised.
class RequestPacer {
 public:
  /// Zero: the request is counted and may go. Else: how long to wait before asking again.
  util::Duration take(util::SteadyTime now, unsigned per_second);

 private:
  double tokens_ = 0;
  util::SteadyTime filled_{};
};

}  // namespace swarmfs::registry
