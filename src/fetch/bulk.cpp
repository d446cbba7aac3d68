// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>

#include "fetch/brain.h"

namespace swarmfs::fetch {

using chunk::BlockRange;
using chunk::Class;
using chunk::kBlockSize;
using util::Failure;
using util::Fault;

util::Operation Brain::bring_in(std::shared_ptr<Layer> layer, Class cls, Fetcher::OnDone on_done) {
  auto bulk = std::make_shared<Bulk>();
  bulk->layer = std::move(layer);
  bulk->cls = cls;
  bulk->on_done = std::move(on_done);
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    bulks.push_back(bulk);
    pump(actions);
  }
  run(actions);
  return util::Operation([self = shared_from_this(), bulk] {
    bulk->gate.close();
    const std::lock_guard hold(self->mutex);
    bulk->ended = true;
    self->bulks.remove(bulk);
  });
}

void Brain::pump(Actions& actions) {
  if (stopping) return;
  for (const Class cls : {Class::pull, Class::prefetch, Class::backfill}) {
    const auto copy = bulks;
    for (const auto& bulk : copy)
      if (bulk->cls == cls) pump_one(bulk, actions);
  }
}

void Brain::pump_one(const std::shared_ptr<Bulk>& bulk, Actions& actions) {
  const bool yields = bulk->cls != Class::pull;
  const unsigned limit = yields ? options.backfill_transfers : options.pull_transfers;
  const uint64_t count = chunk::block_count(bulk->layer->ref().size);
  while (!bulk->ended && !bulk->failure && bulk->in_flight < limit && bulk->cursor < count) {
    if (yields && held_back) return;
    auto& table = bulk->layer->flights_->by_block;
    while (bulk->cursor < count &&
           (bulk->layer->stored().has({bulk->cursor, 1}) || table.contains(bulk->cursor)))
      ++bulk->cursor;
    if (bulk->cursor == count) break;
    uint64_t end = bulk->cursor + 1;
    const uint64_t most = std::min(count, bulk->cursor + options.request_size / kBlockSize);
    while (end < most && !bulk->layer->stored().has({end, 1}) && !table.contains(end)) ++end;
    if (!store.may_hold((end - bulk->cursor) * kBlockSize, bulk->cls)) {
      bulk->failure =
          Failure{Fault::no_space, "the cache quota is full; the rest is fetched when it is read"};
      break;
    }
    auto flight = make_flight(bulk->layer, {bulk->cursor, end - bulk->cursor}, bulk->cls,
                              std::chrono::steady_clock::now() + options.bulk_timeout, actions);
    flight->bulk = bulk;
    ++bulk->in_flight;
    bulk->cursor = end;
  }
  if (bulk->in_flight == 0 && (bulk->failure || bulk->cursor == count)) end_bulk(bulk, actions);
}

void Brain::end_bulk(const std::shared_ptr<Bulk>& bulk, Actions& actions) {
  if (std::exchange(bulk->ended, true)) return;
  bulks.remove(bulk);
  actions.push_back([bulk] {
    bulk->gate.run([&] {
      if (bulk->failure)
        bulk->on_done(*bulk->failure);
      else
        bulk->on_done(util::Done{});
    });
  });
}

void Brain::fault_begins(Actions& actions) {
  if (faults++ == 0) hold_back(actions);
}

void Brain::fault_ends(Actions& actions) {
  if (--faults > 0) return;
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
    const bool yields = flight->cls == Class::backfill;
    const bool awaited =
        std::any_of(flight->parts.begin(), flight->parts.end(),
                    [](const Part& part) { return part.waiter->cls == Class::fault; });
    if (!yields || awaited || flight->paused) continue;
    flight->paused = true;
    actions.push_back([this, flight] {
      const std::lock_guard hold(mutex);
      if (flight->paused && flight->transfer) flight->transfer->pause();
    });
  }
}

void Brain::let_go(Actions& actions) {
  held_back = false;
  for (const auto& flight : flights) {
    if (!std::exchange(flight->paused, false)) continue;
    actions.push_back([this, flight] {
      const std::lock_guard hold(mutex);
      if (!flight->paused && flight->transfer) flight->transfer->resume();
    });
  }
  pump(actions);
}

void Brain::stop() {
  Actions actions;
  std::list<FlightPtr> dropped;
  std::vector<std::unique_ptr<chunk::Transfer>> transfers;
  util::Operation timer;
  {
    const std::lock_guard hold(mutex);
    stopping = true;
    dropped.swap(flights);
    timer = std::move(quiet_timer);
    for (const auto& flight : dropped) {
      flight->ended = true;
      transfers.push_back(std::move(flight->transfer));
      for (auto& part : flight->parts)
        end_waiter(part.waiter, Failure{Fault::cancelled, "the daemon stops"}, actions);
      flight->parts.clear();
      forget_blocks(*flight, flight->range);
    }
    for (const auto& bulk : bulks) bulk->ended = true;
    bulks.clear();
  }
  transfers.clear();
  run(actions);
}

}  // namespace swarmfs::fetch
