// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/bulk_order.h"

#include <algorithm>

namespace swarmfs::fetch {

namespace {

constexpr uint64_t kOrderWindow = (128 << 20) / chunk::kBlockSize;
/// The largest chunk: none is cut in two.
constexpr uint64_t kTurnStep = (1 << 20) / chunk::kBlockSize;

}  // namespace

chunk::BlockRange blocks_at(uint64_t position, uint64_t count, double turn) {
  const uint64_t first = position / kOrderWindow * kOrderWindow;
  const uint64_t length = std::min(kOrderWindow, count - first);
  const auto steps = static_cast<uint64_t>(turn * static_cast<double>(length / kTurnStep));
  const uint64_t passed = position - first;
  const uint64_t at = (passed + steps * kTurnStep) % length;
  return {first + at, std::min(length - at, length - passed)};
}

bool leaves_to_others(util::SteadyTime now, util::SteadyTime came,
                      std::optional<util::SteadyTime> share_asked, bool link_full) {
  if (now >= came + kStandInAfter) return false;
  return !share_asked || now < *share_asked + kStandInAfter || link_full;
}

bool may_wait_for_share(uint64_t waiting, uint64_t limit) {
  return waiting < limit / 4;
}

}  // namespace swarmfs::fetch
