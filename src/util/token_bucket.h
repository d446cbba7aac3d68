// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "util/clock.h"

namespace swarmfs::util {

/// So much per second (bytes, requests), and one second's worth at once, at least 1. Rate 0: no
/// limit. Not synchronised.
class TokenBucket {
 public:
  /// Full. `per_second` >= 0.
  TokenBucket(double per_second, SteadyTime now);
  /// From now on. What was taken stays taken; a bucket that had no limit is full.
  void set_rate(double per_second, SteadyTime now);
  /// Zero: something may be taken. Else how long until then.
  [[nodiscard]] Duration wait(SteadyTime now) const;
  [[nodiscard]] bool open(SteadyTime now) const { return wait(now) == Duration(); }
  /// May overdraw it, so that what is larger than a second's worth passes.
  void take(double amount, SteadyTime now);
  /// What was taken and not used.
  void give_back(double amount, SteadyTime now) { take(-amount, now); }

 private:
  [[nodiscard]] double level(SteadyTime now) const;
  double rate_;
  double tokens_;
  SteadyTime at_;
};

}  // namespace swarmfs::util
