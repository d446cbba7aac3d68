// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>

#include "fetch/brain.h"

namespace swarmfs::fetch {

using chunk::Class;

/// The rate may have changed by then.
constexpr std::chrono::seconds kLongestPause{1};

void Brain::fault_begins(Actions& actions) {
  if (faults++ == 0) hold_back(actions);
}

void Brain::expect_faults() {
  faults_near_until = std::chrono::steady_clock::now() + options.faults_near;
}

void Brain::fault_ends(Actions& actions) {
  if (--faults > 0) return;
  expect_faults();
  // An operation must not die under the lock: its callback may be waiting for it.
  actions.push_back([old = std::make_shared<util::Operation>(std::move(quiet_timer))] {});
  const std::weak_ptr<Brain> weak = weak_from_this();
  quiet_timer = timers.after(options.quiet, [weak] {
    const auto self = weak.lock();
    if (!self) return;
    Actions then;
    {
      const std::lock_guard hold(self->mutex);
      if (self->faults == 0) self->let_go(then);
    }
    run(then);
  });
}

void Brain::hold_back(Actions& actions) {
  held_back = true;
  for (const auto& flight : flights) {
    // Prefetch is what the next faults will ask for, and little at a time: it goes on.
    const bool yields = flight->context.cls == Class::backfill;
    if (yields && !flight->awaited_by_reader() && !flight->paused)
      set_paused(flight, true, actions);
  }
}

void Brain::let_go(Actions& actions) {
  held_back = false;
  for (const auto& flight : flights)
    if (flight->paused) set_paused(flight, false, actions);
  pump(actions);
}

bool Brain::spend_on_backfill(uint64_t bytes) {
  const auto now = std::chrono::steady_clock::now();
  const auto wait = backfill_allowance.wait(now);
  if (wait == util::Duration()) {
    backfill_allowance.take(static_cast<double>(bytes), now);
    return true;
  }
  if (std::exchange(awaits_allowance, true)) return false;
  timers.post(std::min<util::Duration>(wait, kLongestPause), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->looks.run([&] {
      Actions actions;
      {
        const std::lock_guard hold(self->mutex);
        self->awaits_allowance = false;
        self->pump(actions);
      }
      run(actions);
    });
  });
  return false;
}

void Brain::set_backfill_rate(uint64_t bytes_per_second) {
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    backfill_allowance.set_rate(static_cast<double>(bytes_per_second),
                                std::chrono::steady_clock::now());
    pump(actions);
  }
  run(actions);
}

}  // namespace swarmfs::fetch
