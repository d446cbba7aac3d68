// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/fronts.h"

#include <algorithm>

#include "mirror/front_stream.h"

namespace swarmfs::mirror {

namespace {

constexpr std::chrono::milliseconds kLookAgain{100};

}  // namespace

bool Fronts::enter(const std::string& registry, FrontStream& front, util::SteadyTime until) {
  std::unique_ptr<chunk::Transfer> lost;  // goes without the lock
  auto places = places_.lock();
  for (;;) {
    auto& taken = (*places)[registry];
    const auto now = std::chrono::steady_clock::now();
    if (taken.size() == kMost) {
      const auto slowest = std::min_element(taken.begin(), taken.end(), [](auto* one, auto* other) {
        return one->still_since() < other->still_since();
      });
      if ((*slowest)->lose_place(now - kStill, lost)) taken.erase(slowest);
    }
    if (taken.size() < kMost) {
      taken.push_back(&front);
      return true;
    }
    if (now >= until) return false;
    places.wait_until(left_, std::min(until, now + kLookAgain),
                      [&] { return (*places)[registry].size() < kMost; });
  }
}

void Fronts::leave(const std::string& registry, FrontStream& front) {
  auto places = places_.lock();
  auto& taken = (*places)[registry];
  taken.remove(&front);
  if (taken.empty()) places->erase(registry);
  left_.notify_all();
}

}  // namespace swarmfs::mirror
