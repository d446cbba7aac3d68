// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/bulk_window.h"

#include <algorithm>
#include <utility>

namespace swarmfs::http {

namespace {

/// How long a queue bulk may make.
constexpr util::Duration kQueue = std::chrono::milliseconds(1);
/// What a busy machine can send before it is late to send more: round trips tell it and a full link
/// not apart. And for a long way, where the delay of others would leave us nothing.
constexpr size_t kLeast = 64 * 1024;
constexpr size_t kLeastPerSecond = 10'000'000;
/// No network has segments of this size: loopback, where nothing waits but for processors.
constexpr size_t kOfLoopback = 32 * 1024;
constexpr size_t kMost = 16 << 20;
/// What clients take on one connection before they read it.
constexpr size_t kOfConnection = 256 * 1024;
constexpr double kShrink = 0.5;
constexpr double kGrow = 1.25;

double seconds(util::Duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

util::Duration BulkWindow::least(const Path& path, util::SteadyTime now) {
  if (now >= minute_ends_) {
    minute_ends_ = now + std::chrono::minutes(1);
    least_before_ = std::exchange(least_, util::Duration::max());
  }
  least_ = std::min(least_, path.least);
  return std::min(least_, least_before_);
}

void BulkWindow::note(const Path& path, bool full, util::SteadyTime now) {
  if (path.segment >= kOfLoopback) {
    bytes_ = kMost;
    return;
  }
  const auto way = least(path, now);
  if (now < next_) return;
  next_ = now + std::max<util::Duration>(path.now, std::chrono::milliseconds(1));
  const util::Duration aim = way + std::max(kQueue, way / 4);
  const double factor =
      std::clamp(seconds(aim) / std::max(seconds(path.now), 1e-6), kShrink, full ? kGrow : 1.0);
  const auto floor = kLeast + static_cast<size_t>(kLeastPerSecond * seconds(way));
  bytes_ = std::clamp(static_cast<size_t>(static_cast<double>(bytes_) * factor),
                      std::min(floor, kMost), kMost);
}

size_t BulkWindow::connections() const {
  return std::clamp<size_t>(bytes_ / kOfConnection, 1, kMost / kOfConnection);
}

}  // namespace swarmfs::http
