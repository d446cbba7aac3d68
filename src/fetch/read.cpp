// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <cassert>
#include <cstring>

#include "fetch/brain.h"

namespace swarmfs::fetch {

using chunk::BlockRange;
using chunk::Class;
using chunk::kBlockSize;
using util::ByteRange;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr uint64_t kLeastFault = 64 * 1024;
/// A fault waits for bulk only when its bytes are about to come.
constexpr uint64_t kJoinDistance = 256 * 1024;
/// However much of others comes.
constexpr int kMostBulkTimeouts = 5;
/// Bytes that were evicted, or wrong, between a look into the store and the read may be back.
constexpr unsigned kStoreTries = 2;

}  // namespace

util::Operation Brain::read(std::shared_ptr<Layer> layer, ByteRange range,
                            chunk::FetchContext context, Fetcher::OnRead on_read) {
  assert(range.end() <= layer->ref().size);
  auto waiter = std::make_shared<Waiter>();
  waiter->range = range;
  waiter->context = std::move(context);
  waiter->on_read = std::move(on_read);
  waiter->started = std::chrono::steady_clock::now();
  const bool fault = waiter->context.cls == Class::fault;
  waiter->until = waiter->context.deadline;
  const auto limit = fault ? fault_timeout.load() : options.bulk_timeout;
  waiter->context.deadline = std::min(waiter->context.deadline, waiter->started + limit);
  auto self = shared_from_this();
  // Whoever reads a whole layer from the disk is not to keep the daemon from its end.
  if (!(stopping && !fault) && layer->stored().has(chunk::blocks_covering(range))) {
    layer->stored().read(range, [self, layer, waiter](Outcome<util::SharedBytes> outcome) {
      if (!outcome) return self->read_missing(layer, waiter);
      self->count(*layer, chunk::SourceKind::cache, waiter->context.cls, outcome->size());
      waiter->gate.run([&] { std::exchange(waiter->on_read, nullptr)(std::move(outcome)); });
    });
  } else {
    read_missing(layer, waiter);
  }
  return util::Operation([self, waiter] {
    waiter->gate.close();
    Actions actions;
    util::Operation timer;
    {
      const std::lock_guard hold(self->mutex);
      self->end_waiter(waiter, Failure{Fault::cancelled, "nobody waits any more"}, actions);
      timer = std::move(waiter->timer);
    }
    run(actions);
  });
}

void Brain::read_missing(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter) {
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    if (waiter->ended) return;
    waiter->out = std::make_shared<util::Bytes>(waiter->range.length);
    waiter->lacking = waiter->range.length;
    const bool fault = waiter->context.cls == Class::fault;
    if (fault) fault_begins(actions);
    if (stopping) {
      end_waiter(waiter, Failure{Fault::cancelled, "the daemon stops"}, actions);
    } else {
      const uint64_t ahead = fault ? layer->state_->read_ahead.on_access(waiter->range) : 0;
      cover(layer, waiter, waiter->range, ahead, 0, actions);
      if (!waiter->ended) set_deadline(layer, waiter);
    }
  }
  run(actions);
}

void Brain::cover(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter, ByteRange part,
                  uint64_t ahead, unsigned tries, Actions& actions) {
  const auto& stored = layer->stored();
  const auto& table = layer->state_->by_block;
  const uint64_t size = layer->ref().size;
  const BlockRange blocks = chunk::blocks_covering(part);
  const auto part_of = [&](uint64_t from, uint64_t to) {
    return overlap(chunk::bytes_of({from, to - from}, size), part);
  };
  const auto has = [&](uint64_t block) { return tries < kStoreTries && stored.has({block, 1}); };
  const auto flight_at = [&](uint64_t block) { return joinable(*layer, block, waiter->context); };
  for (uint64_t block = blocks.first, end = 0; block < blocks.end(); block = end) {
    end = block + 1;
    if (const FlightPtr flight = flight_at(block)) {
      while (end < blocks.end() && flight_at(end) == flight) ++end;
      join(flight, waiter, part_of(block, end), actions);
    } else if (has(block)) {
      while (end < blocks.end() && has(end) && !table.contains(end)) ++end;
      actions.push_back([this, layer, waiter, run = part_of(block, end), tries,
                         round = waiter->round] { read_stored(layer, waiter, run, tries, round); });
    } else {
      uint64_t wish = blocks.end();
      if (waiter->context.cls == Class::fault && tries == 0)
        wish = std::max(wish + ahead / kBlockSize, block + kLeastFault / kBlockSize);
      wish = std::min(wish, chunk::block_count(size));
      while (end < wish && !has(end) && !flight_at(end)) ++end;
      fly(layer, waiter, {block, end - block}, actions);
    }
  }
}

void Brain::fly(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter, BlockRange run,
                Actions& actions) {
  while (!run.empty()) {
    const auto flight = make_flight(layer, run, waiter->context, actions);
    join(flight, waiter, overlap(flight->range, waiter->range), actions);
    const uint64_t count = chunk::blocks_covering(flight->range).count;
    run = {run.first + count, run.count - count};
  }
}

void Brain::read_stored(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter,
                        ByteRange part, unsigned tries, unsigned round) {
  layer->stored().read(part, [self = shared_from_this(), layer, waiter, part, tries,
                              round](Outcome<util::SharedBytes> outcome) {
    Actions actions;
    {
      const std::lock_guard hold(self->mutex);
      if (waiter->ended || waiter->round != round) return;
      if (outcome) {
        self->count(*layer, chunk::SourceKind::cache, waiter->context.cls, part.length);
        self->deliver(waiter, part, outcome->data(), actions);
      } else if (self->stopping) {
        self->end_waiter(waiter, Failure{Fault::cancelled, "the daemon stops"}, actions);
      } else {
        // Evicted between the look and the read, perhaps; a bad disk is not asked again.
        const bool absent = outcome.failure().fault == Fault::not_found;
        self->cover(layer, waiter, part, 0, absent ? tries + 1 : kStoreTries, actions);
      }
    }
    run(actions);
  });
}

void Brain::begin_again(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter,
                        Actions& actions) {
  if (waiter->ended) return;
  for (const auto& flight : flights)
    std::erase_if(flight->parts, [&](const Part& part) { return part.waiter == waiter; });
  ++waiter->round;
  waiter->lacking = waiter->range.length;
  cover(layer, waiter, waiter->range, 0, 0, actions);
}

FlightPtr Brain::joinable(const Layer& layer, uint64_t block,
                          const chunk::FetchContext& context) const {
  const auto found = layer.state_->by_block.find(block);
  if (found == layer.state_->by_block.end()) return nullptr;
  const Flight& flight = *found->second;
  if (flight.layer.get() != &layer) return nullptr;  // it asks other registries
  if (context.for_peer && asks_peer(flight)) return nullptr;
  const uint64_t at = block * kBlockSize - flight.range.offset;
  const bool soon = at < flight.arrived + kJoinDistance;
  return context.cls != Class::fault || !is_bulk(flight.context.cls) || soon ? found->second
                                                                             : nullptr;
}

void Brain::join(const FlightPtr& flight, const WaiterPtr& waiter, ByteRange part,
                 Actions& actions) {
  const ByteRange here = overlap(part, {flight->range.offset, flight->arrived});
  if (here.length)
    deliver(waiter, here, flight->buffer->data() + (here.offset - flight->range.offset), actions);
  if (here.length == part.length) return;
  flight->parts.push_back({waiter, part});
  if (flight->queued) let_overtake(flight, waiter->context, actions);
  // It has less patience from now on.
  if (flight->in_turns && !flight->attempts.empty()) set_hedge(flight, flight->hedge);
  if (waiter->context.cls != Class::fault) return;
  if (flight->paused) set_paused(flight, false, actions);
  hurry(flight, actions);
}

void Brain::deliver(const WaiterPtr& waiter, ByteRange part, const std::byte* bytes,
                    Actions& actions) {
  if (waiter->ended || part.empty()) return;
  std::memcpy(waiter->out->data() + (part.offset - waiter->range.offset), bytes, part.length);
  waiter->lacking -= part.length;
  if (waiter->lacking == 0) end_waiter(waiter, std::nullopt, actions);
}

void Brain::set_deadline(const std::shared_ptr<Layer>& layer, const WaiterPtr& waiter) {
  waiter->timer = timers.at(
      waiter->context.deadline,
      [self = shared_from_this(), layer = std::weak_ptr(layer), weak = std::weak_ptr(waiter)] {
        Actions actions;
        {
          const std::lock_guard hold(self->mutex);
          if (const auto late = weak.lock()) self->look_at_deadline(layer, late, actions);
        }
        run(actions);
      });
}

util::SteadyTime Brain::bulk_deadline(const Layer& layer, util::SteadyTime since) {
  const auto never = util::SteadyTime();
  const auto came =
      std::max(registry_of(layer).gave_bulk.value_or(never), bulk_progress(layer).value_or(never));
  return std::min(came + options.bulk_timeout, since + kMostBulkTimeouts * options.bulk_timeout);
}

void Brain::look_at_deadline(const std::weak_ptr<Layer>& layer, const WaiterPtr& waiter,
                             Actions& actions) {
  if (waiter->ended) return;
  const auto now = std::chrono::steady_clock::now();
  const auto held = layer.lock();
  const auto until = held && waiter->context.cls != Class::fault
                         ? std::min(waiter->until, bulk_deadline(*held, waiter->started))
                         : now;
  if (until <= now)
    return end_waiter(waiter, Failure{Fault::timed_out, "no source gave the bytes in time"},
                      actions);
  waiter->context.deadline = until;
  look_later(until - now, [layer, weak = std::weak_ptr(waiter)](Brain& self, Actions& then) {
    if (const auto late = weak.lock()) self.look_at_deadline(layer, late, then);
  });
}

void Brain::end_waiter(const WaiterPtr& waiter, std::optional<Failure> failure, Actions& actions) {
  if (waiter->ended) return;
  waiter->ended = true;
  if (!waiter->out) return;  // it never came to wait
  if (waiter->context.cls == Class::fault) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - waiter->started;
    fault_seconds.observe(took.count());
    fault_ends(actions);
  }
  bury(std::move(waiter->timer), actions);
  actions.push_back([waiter, failure = std::move(failure)] {
    waiter->gate.run([&] {
      // Let go of the callback: it may own the operation that owns this waiter.
      const auto on_read = std::exchange(waiter->on_read, nullptr);
      if (failure)
        on_read(*failure);
      else
        on_read(util::SharedBytes(waiter->out, *waiter->out));
    });
  });
}

}  // namespace swarmfs::fetch
