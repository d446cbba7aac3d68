// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <cstdint>

#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::util {

/// How much goes one way over this node's link: what comes in from whoever, or what is given.
/// Thread-safe; a leaf: calls nobody.
class LinkGauge {
 public:
  /// Less is no load on any link, bytes per second.
  static constexpr double kTrickle = 128 * 1024;

  void arrived(uint64_t bytes, SteadyTime now);
  /// The most that went within one second of the last ten, bytes per second.
  [[nodiscard]] double best(SteadyTime now) const;
  /// best(), once something went three seconds ago or earlier, of the last ten; 0: not known yet.
  [[nodiscard]] double known(SteadyTime now) const;
  /// During the last second at least half of that went: who is late now waits for our link, or for
  /// what all wait for.
  [[nodiscard]] bool full(SteadyTime now) const;

 private:
  static constexpr std::chrono::milliseconds kSlot{250};
  static constexpr int64_t kSlotsOfSecond = std::chrono::seconds(1) / kSlot;
  static constexpr int64_t kSlots = 10 * kSlotsOfSecond;
  static constexpr int64_t kUntilKnown = 3 * kSlotsOfSecond;
  struct Slot {
    int64_t number = -1;  ///< in units of kSlot, since the clock's beginning
    uint64_t bytes = 0;
  };
  using Slots = std::array<Slot, kSlots + 1>;

  static int64_t number_of(SteadyTime time);
  /// Of the second before slot `end`.
  static uint64_t second_before(const Slots& slots, int64_t end);
  static uint64_t best_second(const Slots& slots, int64_t now);

  Sync<Slots> slots_;
};

}  // namespace swarmfs::util
