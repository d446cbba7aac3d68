// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/bulk_order.h"

#include <algorithm>

namespace swarmfs::fetch {

namespace {

constexpr int kStandInRequests = 4;
constexpr std::chrono::seconds kStandInAtMost{10};
constexpr size_t kFew = 8;
constexpr uint64_t kWindowOfFew = (8 << 20) / chunk::kBlockSize;
constexpr uint64_t kWindowOfCrowd = (128 << 20) / chunk::kBlockSize;
/// The largest chunk: none is cut in two.
constexpr uint64_t kTurnStep = (1 << 20) / chunk::kBlockSize;

uint64_t window_of(const BulkOrder& order) {
  return order.crowd ? kWindowOfCrowd : kWindowOfFew;
}

}  // namespace

BulkOrder order_among(size_t wanting, double turn, const BulkOrder& before) {
  if (wanting == 0) return before;
  return {turn, before.crowd || wanting > kFew};
}

chunk::BlockRange blocks_at(uint64_t position, uint64_t count, const BulkOrder& order) {
  const uint64_t first = window_begin(position, order);
  const uint64_t length = std::min(window_of(order), count - first);
  const auto steps = static_cast<uint64_t>(order.turn * static_cast<double>(length / kTurnStep));
  const uint64_t passed = position - first;
  const uint64_t at = (passed + steps * kTurnStep) % length;
  return {first + at, std::min(length - at, length - passed)};
}

uint64_t window_begin(uint64_t block, const BulkOrder& order) {
  return block / window_of(order) * window_of(order);
}

bool leaves_to_others(util::SteadyTime now, util::SteadyTime came,
                      std::optional<util::SteadyTime> share_asked, bool link_full) {
  if (now >= came + kStandInAfter) return false;
  return !share_asked || now < *share_asked + kStandInAfter || link_full;
}

util::Duration stands_in_after(util::Duration takes) {
  return std::clamp<util::Duration>(kStandInRequests * takes, kStandInAfter, kStandInAtMost);
}

bool may_wait_for_share(uint64_t waiting, uint64_t limit) {
  return waiting < limit / 4;
}

}  // namespace swarmfs::fetch
