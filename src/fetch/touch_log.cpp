// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/touch_log.h"

#include <chrono>

namespace swarmfs::fetch {

TouchLog::TouchLog(uint64_t layer_size) : seen_(layer_size / kUnit / 64 + 1) {}

void TouchLog::start() {
  auto touches = touches_.lock();
  touches->clear();
  for (auto& word : seen_) word = 0;
  recording_ = true;
}

void TouchLog::note(util::ByteRange range) {
  if (!recording_ || range.empty()) return;
  for (uint64_t unit = range.offset / kUnit; unit <= (range.end() - 1) / kUnit; ++unit) {
    const uint64_t bit = 1ull << (unit % 64);
    if (seen_[unit / 64].fetch_or(bit) & bit) continue;
    touches_.lock()->push_back({std::chrono::steady_clock::now(), static_cast<uint32_t>(unit)});
  }
}

}  // namespace swarmfs::fetch
