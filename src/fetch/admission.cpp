// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <cassert>

#include "fetch/brain.h"

namespace swarmfs::fetch {

using chunk::Class;

namespace {

constexpr std::chrono::milliseconds kQueueWatch{500};
/// Bulk that got nothing for so long keeps other bulk waiting no longer.
constexpr std::chrono::seconds kSilent{3};

}  // namespace

void Brain::enqueue(const FlightPtr& flight) {
  flight->queued = true;
  flight->progress = std::chrono::steady_clock::now();
  queue.push_back(flight);
}

void Brain::leave_queue(const FlightPtr& flight) {
  flight->queued = false;
  queue.remove(flight);
}

WaitingRequest Brain::as_waiting(const Flight& flight) {
  Class cls = flight.relayed ? std::min(flight.context.cls, Class::pull) : flight.context.cls;
  bool awaited = false;
  for (const auto& part : flight.parts) {
    if (part.waiter->ended) continue;
    awaited = true;
    cls = std::min(cls, part.waiter->context.cls);
  }
  return {cls,           flight.ours || flight.shared,
          awaited,       flight.layer->state_->inflow,
          flight.shared, flight.waits};
}

void Brain::admit_waiting(Actions& actions) {
  if (queue.empty() || stopping) return;
  watch_queue();
  const auto now = std::chrono::steady_clock::now();
  auto limit = inflow_limit(options.link->best(now), faults > 0 || now < faults_near_until);
  limit.shared = share_pace.limit(now);
  for (;;) {
    std::vector<FlightPtr> able;
    std::vector<WaitingRequest> waiting;
    for (const auto& flight : queue) {
      if (flight->paused) continue;
      able.push_back(flight);
      look_for_holders(*flight, now);
      waiting.push_back(as_waiting(*flight));
    }
    const auto next = next_in(waiting, inflow, limit);
    if (!next) return watch_for_holders();
    leave_queue(able[*next]);
    let_in(able[*next], actions);
  }
}

void Brain::look_for_holders(Flight& flight, util::SteadyTime now) const {
  const bool others = !flight.ours && !flight.shared && flight.context.cls != Class::prefetch;
  if (others && now < flight.looked + kNewsWatch) return;
  flight.looked = now;
  flight.waits = others && others_want(flight.layer->ref()) &&
                 !peers_have(flight.layer->with_origins(), chunk::blocks_covering(flight.range));
}

void Brain::watch_for_holders() {
  const bool any =
      std::any_of(queue.begin(), queue.end(), [](const auto& flight) { return flight->waits; });
  if (!any || std::exchange(holders_watched, true)) return;
  look_later(kNewsWatch, [](Brain& self, Actions& actions) {
    self.holders_watched = false;
    self.admit_waiting(actions);
  });
}

void Brain::watch_queue() {
  if (std::exchange(queue_watched, true)) return;
  look_later(kQueueWatch, [](Brain& self, Actions& actions) {
    self.queue_watched = false;
    const auto since = std::chrono::steady_clock::now() - kSilent;
    for (const auto& flight : self.flights)
      if (!flight->attempts.empty() && flight->progress < since) self.give_inflow(*flight);
    self.let_eldest_in(since, actions);
    self.admit_waiting(actions);
  });
}

void Brain::let_eldest_in(util::SteadyTime since, Actions& actions) {
  if (stopping) return;
  const auto eldest = std::find_if(queue.begin(), queue.end(),
                                   [](const auto& one) { return !one->paused && !one->shared; });
  if (eldest == queue.end() || (*eldest)->progress >= since) return;
  const FlightPtr flight = *eldest;
  leave_queue(flight);
  let_in(flight, actions);
}

void Brain::let_in(const FlightPtr& flight, Actions& actions) {
  take_inflow(*flight);
  // It waited for our sake, not for its source's.
  if (flight->bulk || flight->shared)
    flight->context.deadline = std::chrono::steady_clock::now() + options.bulk_timeout;
  // Who its bytes come from is decided now; its waiters may have yet to join.
  actions.push_back([self = shared_from_this(), flight] {
    Actions then;
    {
      const std::lock_guard hold(self->mutex);
      self->ask_next(flight, then);
    }
    run(then);
  });
}

bool Brain::may_relay() {
  const std::lock_guard hold(mutex);
  uint64_t in_line = 0;
  for (const auto& flight : queue)
    if (flight->relayed) in_line += flight->range.length;
  return in_line < SharePace::kTurnsInLine * share_pace.limit(std::chrono::steady_clock::now());
}

void Brain::take_inflow(Flight& flight) {
  if (flight.ended || flight.context.cls == Class::fault || std::exchange(flight.admitted, true))
    return;
  inflow.bytes += flight.range.length;
  if (flight.ours) inflow.ours += flight.range.length;
  if (flight.shared) inflow.shared += flight.range.length;
  if (flight.waits) inflow.waits += flight.range.length;
  ++inflow.requests;
  flight.layer->state_->inflow += flight.range.length;
}

void Brain::give_inflow(Flight& flight) {
  if (!std::exchange(flight.admitted, false)) return;
  inflow.bytes -= flight.range.length;
  if (flight.ours) inflow.ours -= flight.range.length;
  if (flight.shared) inflow.shared -= flight.range.length;
  if (flight.waits) inflow.waits -= flight.range.length;
  --inflow.requests;
  flight.layer->state_->inflow -= flight.range.length;
}

void Brain::let_overtake(const FlightPtr& flight, const chunk::FetchContext& context,
                         Actions& actions) {
  if (context.cls != Class::fault && !context.for_peer) return;
  flight->relayed |= context.for_peer;
  if (context.cls == Class::fault || !SharePace::holds_among(wanting(flight->layer->ref()))) {
    leave_queue(flight);
    return let_in(flight, actions);
  }
  if (!std::exchange(flight->shared, true) && flight->bulk)
    flight->bulk->shared += flight->range.length;
  admit_waiting(actions);
}

bool Brain::waits_its_turn(const Flight& flight) const {
  if (flight.awaited_by_reader()) return false;
  // Those that have what a registry lets wait cost it nothing.
  const bool told =
      std::any_of(flight.attempts.begin(), flight.attempts.end(), [this](const auto& attempt) {
        return kind_of(*attempt) == chunk::SourceKind::peer && attempt->transfer &&
               attempt->transfer->told_to_wait();
      });
  return told || options.link->full(std::chrono::steady_clock::now());
}

}  // namespace swarmfs::fetch
