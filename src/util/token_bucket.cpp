// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/token_bucket.h"

#include <algorithm>

namespace swarmfs::util {

namespace {

double most(double rate) {
  return std::max(rate, 1.0);
}

}  // namespace

TokenBucket::TokenBucket(double per_second, SteadyTime now)
    : rate_(per_second), tokens_(most(per_second)), at_(now) {}

double TokenBucket::level(SteadyTime now) const {
  const double seconds = std::chrono::duration<double>(now - at_).count();
  return std::min(most(rate_), tokens_ + rate_ * std::max(seconds, 0.0));
}

void TokenBucket::set_rate(double per_second, SteadyTime now) {
  if (per_second == rate_) return;
  tokens_ = rate_ == 0 ? most(per_second) : level(now);
  at_ = std::max(at_, now);
  rate_ = per_second;
}

Duration TokenBucket::wait(SteadyTime now) const {
  const double missing = 1 - level(now);
  if (rate_ == 0 || missing <= 0) return {};
  // Never zero, and never so long that it overflows.
  const std::chrono::duration<double> left(std::min(missing / rate_, 86'400.0));
  return std::chrono::duration_cast<Duration>(left) + Duration(1);
}

void TokenBucket::take(double amount, SteadyTime now) {
  if (rate_ == 0) return;
  tokens_ = level(now) - amount;
  at_ = std::max(at_, now);
}

}  // namespace swarmfs::util
