// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>

#include "fetch/brain.h"

namespace swarmfs::fetch {

using chunk::Class;

namespace {

/// The rate may be another by then.
constexpr std::chrono::seconds kLongestWait{1};

}  // namespace

void Brain::fault_begins(Actions& actions) {
  if (faults++ == 0) hold_back(actions);
}

void Brain::expect_faults() {
  faults_near_until = std::chrono::steady_clock::now() + options.faults_near;
}

void Brain::fault_ends(Actions& actions) {
  if (--faults > 0) return;
  expect_faults();
  bury(std::move(quiet_timer), actions);
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
    // Prefetch is what the next faults will ask for, and little at a time: it goes on. So does what
    // another node waits for, who would take it for late.
    const bool yields = flight->context.cls == Class::backfill && !flight->context.for_peer;
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

bool Brain::may_backfill() {
  const auto wait = backfill_allowance.wait(std::chrono::steady_clock::now());
  if (wait == util::Duration()) return true;
  awaits_allowance = true;
  look_later(std::min<util::Duration>(wait, kLongestWait), [](Brain& self, Actions& actions) {
    self.awaits_allowance = false;
    self.pump(actions);
  });
  return false;
}

void Brain::set_backfill_rate(uint64_t bytes_per_second) {
  const std::lock_guard hold(mutex);
  backfill_allowance.set_rate(static_cast<double>(bytes_per_second),
                              std::chrono::steady_clock::now());
}

void Brain::spend_on_backfill(const std::shared_ptr<Bulk>& bulk, uint64_t bytes) {
  backfill_allowance.take(static_cast<double>(bytes), std::chrono::steady_clock::now());
  // The next layer's turn.
  bulks.remove(bulk);
  bulks.push_back(bulk);
}

}  // namespace swarmfs::fetch
