// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/brain.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace swarmfs::fetch {

using chunk::BlockRange;
using chunk::Class;
using chunk::kBlockSize;
using util::ByteRange;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr uint64_t kWriteSize = 1 << 20;
constexpr uint64_t kLeastFault = 64 * 1024;
/// A fault waits for bulk only when its bytes are about to come.
constexpr uint64_t kJoinDistance = 256 * 1024;

bool is_bulk(Class cls) {
  return cls == Class::prefetch || cls == Class::backfill;
}

ByteRange overlap(ByteRange a, ByteRange b) {
  const uint64_t start = std::max(a.offset, b.offset), end = std::min(a.end(), b.end());
  return {start, end > start ? end - start : 0};
}

}  // namespace

Brain::Brain(chunk::Store& its_store, std::vector<chunk::Source*> its_sources,
             FetchOptions its_options, util::Timers& its_timers, util::Metrics& its_metrics)
    : store(its_store),
      sources(std::move(its_sources)),
      options(its_options),
      timers(its_timers),
      metrics(its_metrics),
      fault_seconds(
          metrics.latency("swarmfs_fault_seconds", "Time that a reader waited for absent bytes")) {
  for (size_t source = 0; source < counters.size(); ++source)
    for (size_t cls = 0; cls < chunk::kClasses; ++cls)
      counters[source][cls] =
          &metrics.counter("swarmfs_bytes_total", "Bytes of layers by source and class",
                           {{"source", chunk::to_string(static_cast<chunk::SourceKind>(source))},
                            {"class", chunk::to_string(static_cast<Class>(cls))}});
}

void Brain::count(Layer& layer, chunk::SourceKind source, Class cls, uint64_t bytes) {
  counters[static_cast<size_t>(source)][static_cast<size_t>(cls)]->add(static_cast<double>(bytes));
  layer.by_source_[static_cast<size_t>(source)] += bytes;
}

std::shared_ptr<Layer> Brain::open(const chunk::LayerRef& ref, chunk::Form form) {
  const std::lock_guard hold(mutex);
  auto& known = layers[{ref.digest, form}];
  const auto before = known.lock();
  if (before && (before->ref().origins == ref.origins || ref.origins.empty())) return before;
  auto layer = std::make_shared<Layer>(ref, store.open(ref.digest, ref.size, form));
  if (before) layer->seal(before->tree());
  known = layer;
  return layer;
}

util::Operation Brain::read(std::shared_ptr<Layer> layer, ByteRange range,
                            chunk::FetchContext context, Fetcher::OnRead on_read) {
  assert(range.end() <= layer->ref().size);
  auto waiter = std::make_shared<Waiter>();
  waiter->range = range;
  waiter->cls = context.cls;
  waiter->on_read = std::move(on_read);
  waiter->started = std::chrono::steady_clock::now();
  const auto limit = context.cls == Class::fault ? options.fault_timeout : options.bulk_timeout;
  const auto deadline = std::min(context.deadline, waiter->started + limit);
  auto self = shared_from_this();
  if (layer->stored().has(chunk::blocks_covering(range))) {
    layer->stored().read(
        range, [self, layer, waiter, deadline](Outcome<util::SharedBytes> outcome) {
          if (!outcome) return self->read_missing(layer, waiter, deadline);
          self->count(*layer, chunk::SourceKind::cache, waiter->cls, outcome->size());
          waiter->gate.run([&] { std::exchange(waiter->on_read, nullptr)(std::move(outcome)); });
        });
  } else {
    read_missing(layer, waiter, deadline);
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

void Brain::read_missing(const std::shared_ptr<Layer>& layer, const std::shared_ptr<Waiter>& waiter,
                         util::SteadyTime deadline) {
  Actions actions;
  std::vector<ByteRange> present;
  {
    const std::lock_guard hold(mutex);
    if (waiter->ended) return;
    waiter->out = std::make_shared<util::Bytes>(waiter->range.length);
    waiter->lacking = waiter->range.length;
    if (waiter->cls == Class::fault) fault_begins(actions);
    if (stopping) {
      end_waiter(waiter, Failure{Fault::cancelled, "the daemon stops"}, actions);
    } else {
      auto& table = *layer->flights_;
      const BlockRange blocks = chunk::blocks_covering(waiter->range);
      const uint64_t ahead =
          waiter->cls == Class::fault ? table.read_ahead.on_access(waiter->range) : 0;
      const uint64_t count = chunk::block_count(layer->ref().size);
      for (uint64_t block = blocks.first; block < blocks.end();) {
        FlightPtr flight = joinable(*layer, block, waiter->cls);
        uint64_t end = block + 1;
        if (flight) {
          while (end < blocks.end() && joinable(*layer, end, waiter->cls) == flight) ++end;
        } else if (layer->stored().has({block, 1})) {
          while (end < blocks.end() && layer->stored().has({end, 1}) &&
                 !table.by_block.contains(end))
            ++end;
          present.push_back(
              overlap(chunk::bytes_of({block, end - block}, layer->ref().size), waiter->range));
        } else {
          uint64_t wish = blocks.end();
          if (waiter->cls == Class::fault)
            wish = std::max(wish + ahead / kBlockSize, block + kLeastFault / kBlockSize);
          while (end < std::min(wish, count) && !layer->stored().has({end, 1}) &&
                 !joinable(*layer, end, waiter->cls))
            ++end;
          flight = make_flight(layer, {block, end - block}, waiter->cls, deadline, actions);
        }
        if (flight)
          join(flight, waiter,
               overlap(chunk::bytes_of({block, end - block}, layer->ref().size), waiter->range),
               actions);
        block = end;
      }
      const std::weak_ptr<Waiter> weak = waiter;
      if (!waiter->ended)
        waiter->timer = timers.at(deadline, [self = shared_from_this(), weak] {
          const auto late = weak.lock();
          if (!late) return;
          Actions then;
          {
            const std::lock_guard again(self->mutex);
            self->end_waiter(late, Failure{Fault::timed_out, "no source gave the bytes in time"},
                             then);
          }
          run(then);
        });
    }
  }
  run(actions);
  for (const auto& part : present) read_stored(layer, waiter, part, deadline);
}

void Brain::read_stored(const std::shared_ptr<Layer>& layer, const std::shared_ptr<Waiter>& waiter,
                        ByteRange part, util::SteadyTime deadline) {
  auto self = shared_from_this();
  layer->stored().read(part,
                       [self, layer, waiter, part, deadline](Outcome<util::SharedBytes> outcome) {
                         Actions actions;
                         if (outcome) {
                           self->count(*layer, chunk::SourceKind::cache, waiter->cls, part.length);
                           const std::lock_guard hold(self->mutex);
                           self->deliver(*waiter, part, outcome->data(), actions, waiter);
                         } else {
                           // Evicted between the look and the read: a flight for just this part.
                           const std::lock_guard hold(self->mutex);
                           if (waiter->ended) return;
                           auto flight = self->make_flight(layer, chunk::blocks_covering(part),
                                                           waiter->cls, deadline, actions);
                           self->join(flight, waiter, part, actions);
                         }
                         run(actions);
                       });
}

Brain::FlightPtr Brain::joinable(Layer& layer, uint64_t block, Class cls) {
  const auto found = layer.flights_->by_block.find(block);
  if (found == layer.flights_->by_block.end()) return nullptr;
  const Flight& flight = *found->second;
  const uint64_t at = block * kBlockSize - flight.range.offset;
  const bool soon = at < flight.arrived + kJoinDistance;
  return cls != Class::fault || !is_bulk(flight.cls) || soon ? found->second : nullptr;
}

void Brain::join(const FlightPtr& flight, const std::shared_ptr<Waiter>& waiter, ByteRange part,
                 Actions& actions) {
  const ByteRange here = overlap(part, {flight->range.offset, flight->arrived});
  if (here.length)
    deliver(*waiter, here, flight->buffer->data() + (here.offset - flight->range.offset), actions,
            waiter);
  if (here.length == part.length) return;
  flight->parts.push_back({waiter, part});
  if (flight->paused && waiter->cls == Class::fault) {
    flight->paused = false;
    actions.push_back([this, flight] {
      const std::lock_guard hold(mutex);
      if (flight->transfer) flight->transfer->resume();
    });
  }
}

void Brain::deliver(Waiter& waiter, ByteRange part, const std::byte* bytes, Actions& actions,
                    const std::shared_ptr<Waiter>& self) {
  if (waiter.ended || part.empty()) return;
  std::memcpy(waiter.out->data() + (part.offset - waiter.range.offset), bytes, part.length);
  waiter.lacking -= part.length;
  if (waiter.lacking == 0) end_waiter(self, std::nullopt, actions);
}

void Brain::end_waiter(const std::shared_ptr<Waiter>& waiter, std::optional<Failure> failure,
                       Actions& actions) {
  if (waiter->ended) return;
  waiter->ended = true;
  if (!waiter->out) return;  // it never came to wait
  if (waiter->cls == Class::fault) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - waiter->started;
    fault_seconds.observe(took.count());
    fault_ends(actions);
  }
  // The timer's operation must not die under the lock: its callback may be waiting for it.
  auto timer = std::make_shared<util::Operation>(std::move(waiter->timer));
  actions.push_back([waiter, timer, failure = std::move(failure)] {
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

Brain::FlightPtr Brain::make_flight(const std::shared_ptr<Layer>& layer, BlockRange blocks,
                                    Class cls, util::SteadyTime deadline, Actions& actions) {
  auto flight = std::make_shared<Flight>();
  flight->layer = layer;
  flight->range = chunk::bytes_of(blocks, layer->ref().size);
  flight->cls = cls;
  flight->deadline = deadline;
  flight->buffer = std::make_shared<util::Bytes>(flight->range.length);
  for (uint64_t block = blocks.first; block < blocks.end(); ++block)
    layer->flights_->by_block[block] = flight;
  flights.push_back(flight);
  actions.push_back([self = shared_from_this(), flight] { self->launch(flight); });
  return flight;
}

void Brain::launch(const FlightPtr& flight) {
  const std::weak_ptr<Brain> weak = weak_from_this();
  chunk::Source& source = *sources.at(flight->source);
  const ByteRange rest{flight->range.offset + flight->arrived,
                       flight->range.length - flight->arrived};
  auto transfer = source.fetch(
      flight->layer->ref(), rest, {flight->cls, flight->deadline, ""},
      [weak, flight](util::ByteView bytes) {
        if (const auto self = weak.lock()) self->on_data(flight, bytes);
      },
      [weak, flight](Outcome<util::Done> outcome) {
        if (const auto self = weak.lock()) self->on_done(flight, std::move(outcome));
      });
  std::unique_ptr<chunk::Transfer> old;
  const std::lock_guard hold(mutex);
  if (flight->ended) {
    old = std::move(transfer);
    return;
  }
  if (flight->paused) transfer->pause();
  old = std::exchange(flight->transfer, std::move(transfer));
}

void Brain::on_data(const FlightPtr& flight, util::ByteView bytes) {
  count(*flight->layer, sources[flight->source]->kind(), flight->cls, bytes.size());
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    assert(flight->arrived + bytes.size() <= flight->range.length);
    const ByteRange fresh{flight->range.offset + flight->arrived, bytes.size()};
    std::memcpy(flight->buffer->data() + flight->arrived, bytes.data(), bytes.size());
    flight->arrived += bytes.size();
    for (auto& part : flight->parts) {
      const ByteRange wanted = overlap(part.range, fresh);
      deliver(*part.waiter, wanted, bytes.data() + (wanted.offset - fresh.offset), actions,
              part.waiter);
    }
    std::erase_if(flight->parts, [](const Part& part) { return part.waiter->ended; });
    write_back(flight, flight->arrived == flight->range.length, actions);
  }
  run(actions);
}

void Brain::write_back(const FlightPtr& flight, bool all, Actions& actions) {
  uint64_t ready = flight->arrived - flight->written;
  if (!all) ready = ready / kWriteSize * kWriteSize;
  if (ready == 0) return;
  const ByteRange range{flight->range.offset + flight->written, ready};
  const util::SharedBytes bytes(flight->buffer,
                                util::ByteView(*flight->buffer).subspan(flight->written, ready));
  flight->written += ready;
  actions.push_back([self = shared_from_this(), flight, range, bytes] {
    flight->layer->stored().write(chunk::BlockIndex{range.offset / kBlockSize}, bytes, flight->cls,
                                  [self, flight, range](Outcome<util::Done> outcome) {
                                    const std::lock_guard hold(self->mutex);
                                    self->forget_blocks(*flight, range);
                                    if (!outcome && flight->bulk && flight->cls == Class::backfill)
                                      flight->bulk->failure = outcome.failure();
                                  });
  });
}

void Brain::forget_blocks(Flight& flight, ByteRange range) {
  auto& table = flight.layer->flights_->by_block;
  const BlockRange blocks = chunk::blocks_covering(range);
  for (uint64_t block = blocks.first; block < blocks.end(); ++block) {
    const auto found = table.find(block);
    if (found != table.end() && found->second.get() == &flight) table.erase(found);
  }
}

void Brain::on_done(const FlightPtr& flight, Outcome<util::Done> outcome) {
  Actions actions;
  std::unique_ptr<chunk::Transfer> transfer;
  {
    const std::lock_guard hold(mutex);
    if (flight->ended) return;
    transfer = std::move(flight->transfer);
    const bool short_of = flight->arrived < flight->range.length;
    if (short_of && flight->source + 1 < sources.size() && !stopping) {
      ++flight->source;
      actions.push_back([self = shared_from_this(), flight] { self->launch(flight); });
    } else {
      flight->ended = true;
      flights.remove(flight);
      if (short_of) {
        const Failure failure = outcome ? Failure{Fault::unavailable, "a source sent too few bytes"}
                                        : outcome.failure();
        for (auto& part : flight->parts) end_waiter(part.waiter, failure, actions);
        if (flight->bulk) flight->bulk->failure = failure;
        flight->arrived = flight->arrived / kBlockSize * kBlockSize;
        if (flight->arrived > flight->written) write_back(flight, true, actions);
        forget_blocks(*flight, {flight->range.offset + flight->arrived,
                                flight->range.length - flight->arrived});
      }
      flight->parts.clear();
      if (flight->bulk) {
        --flight->bulk->in_flight;
        pump(actions);
      }
    }
  }
  run(actions);
}

}  // namespace swarmfs::fetch
