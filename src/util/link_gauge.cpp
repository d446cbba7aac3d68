// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/link_gauge.h"

#include <algorithm>

namespace swarmfs::util {

int64_t LinkGauge::number_of(SteadyTime time) {
  return time.time_since_epoch() / kSlot;
}

void LinkGauge::arrived(uint64_t bytes, SteadyTime now) {
  const int64_t number = number_of(now);
  auto slots = slots_.lock();
  Slot& slot = (*slots)[static_cast<size_t>(number) % slots->size()];
  if (slot.number != number) slot = {number, 0};
  slot.bytes += bytes;
}

uint64_t LinkGauge::second_before(const Slots& slots, int64_t end) {
  uint64_t sum = 0;
  for (int64_t number = std::max<int64_t>(0, end - kSlotsOfSecond); number < end; ++number) {
    const Slot& slot = slots[static_cast<size_t>(number) % slots.size()];
    if (slot.number == number) sum += slot.bytes;
  }
  return sum;
}

uint64_t LinkGauge::best_second(const Slots& slots, int64_t now) {
  uint64_t best = 0;
  for (int64_t end = now - kSlots + kSlotsOfSecond; end <= now; ++end)
    best = std::max(best, second_before(slots, end));
  return best;
}

double LinkGauge::best(SteadyTime now) const {
  auto slots = slots_.lock();
  return static_cast<double>(best_second(*slots, number_of(now)));
}

double LinkGauge::known(SteadyTime now) const {
  auto slots = slots_.lock();
  const int64_t number = number_of(now);
  const bool long_enough = std::any_of(slots->begin(), slots->end(), [&](const Slot& slot) {
    return slot.bytes > 0 && slot.number > number - kSlots && slot.number <= number - kUntilKnown;
  });
  return long_enough ? static_cast<double>(best_second(*slots, number)) : 0;
}

bool LinkGauge::full(SteadyTime now) const {
  auto slots = slots_.lock();
  const auto last = static_cast<double>(second_before(*slots, number_of(now)));
  return last >= kTrickle && 2 * last >= static_cast<double>(best_second(*slots, number_of(now)));
}

}  // namespace swarmfs::util
