// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace swarmfs::cache {

/// How many bytes of layers the cache may hold: the quota, and below it what the disk turned out to
/// take, which is only known once it was full. Any thread.
class Allowance {
 public:
  void set(uint64_t quota, double high_watermark, double low_watermark) {
    quota_ = quota;
    high_ = high_watermark;
    low_ = low_watermark;
  }
  /// The disk was full with `bytes` of layers on it.
  void disk_was_full(uint64_t bytes) { disk_ = bytes; }
  /// There is room for `bytes` now: others took their files away, or ours were evicted.
  void disk_takes(uint64_t bytes) {
    if (bytes > disk_) disk_ = bytes >= quota_ ? kUnknown : bytes;
  }
  [[nodiscard]] bool disk_is_smaller() const { return disk_ != kUnknown; }

  [[nodiscard]] uint64_t quota() const { return quota_; }
  /// Bytes at which eviction starts, and at which it ends.
  [[nodiscard]] uint64_t high() const { return share(high_); }
  [[nodiscard]] uint64_t low() const { return share(low_); }

 private:
  static constexpr uint64_t kUnknown = UINT64_MAX;

  [[nodiscard]] uint64_t share(double part) const {
    return static_cast<uint64_t>(static_cast<double>(std::min<uint64_t>(quota_, disk_)) * part);
  }

  std::atomic<uint64_t> quota_{0};
  std::atomic<uint64_t> disk_{kUnknown};
  std::atomic<double> high_{1};
  std::atomic<double> low_{1};
};

}  // namespace swarmfs::cache
