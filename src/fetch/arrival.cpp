// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <cassert>
#include <cstring>

#include "fetch/brain.h"
#include "util/log.h"

namespace swarmfs::fetch {

using chunk::BlockRange;
using chunk::Class;
using chunk::kBlockSize;
using chunk::SourceKind;
using util::ByteRange;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr uint64_t kWriteSize = 1 << 20;
constexpr std::chrono::milliseconds kRevival{200};
constexpr std::chrono::milliseconds kLongestPause{2'000};

/// Fault::corrupt is to mean that all contradict the tree. Where the registry does, who fails after
/// it is no witness for the tree; where only peers do, who fails otherwise might have been one.
unsigned weight_of(const Failure& failure, const Contradiction& contradiction) {
  if (failure.fault != Fault::corrupt) return 1;
  return contradiction.holds() ? 2 : 0;
}

}  // namespace

// The attempt by value: its transfer, which owns the callback, may die inside it.
void Brain::on_data(AttemptPtr attempt, util::ByteView bytes) {
  attempt->launched.wait();
  const auto now = std::chrono::steady_clock::now();
  options.link->arrived(bytes.size(), now);
  if (attempt->first == util::SteadyTime()) attempt->first = now;
  while (const auto block = attempt->blocks.next(bytes))
    if (!take(attempt, *block)) return;
  if (bytes.empty()) return;
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    if (!attempt->ended) refuse_surplus(attempt, actions);
  }
  run(actions);
}

bool Brain::take(const AttemptPtr& attempt, const Block& block) {
  Layer& layer = *attempt->flight->layer;
  for (;;) {
    // Hashed without the lock, so it may be sealed meanwhile.
    const Tree tree = layer.tree();
    const bool good = !tree || tree->matches(chunk::BlockIndex{block.index}, block.bytes);
    std::optional<util::Digest> leaf;
    if (!good || (!tree && kind_of(*attempt) == SourceKind::peer))
      leaf = util::Sha256::of(block.bytes);
    Actions actions;
    bool goes_on = false;
    {
      const std::lock_guard hold(mutex);
      if (attempt->ended) return false;
      if (layer.tree() != tree) continue;
      if (good)
        accept(attempt, block, tree != nullptr, leaf, actions);
      else
        refuse(attempt, block, *leaf, actions);
      goes_on = !attempt->ended;
    }
    run(actions);
    return goes_on;
  }
}

void Brain::accept(const AttemptPtr& attempt, const Block& block, bool sealed,
                   const std::optional<util::Digest>& leaf, Actions& actions) {
  const FlightPtr flight = attempt->flight;
  if (flight->attempts.size() > 1) {
    const auto all = flight->attempts;
    for (const auto& other : all)
      if (other != attempt) drop(other, actions);
    set_hedge(flight, attempt->hedge);
  }
  const ByteRange fresh{flight->rest().offset, block.bytes.size()};
  assert(fresh.offset == block.index * kBlockSize && fresh.length <= flight->rest().length);
  flight->progress = std::chrono::steady_clock::now();
  if (flight->context.cls != Class::fault) bulk_came = flight->progress;
  if (attempt->times) registry_of(*flight->layer).gave_bulk = flight->progress;
  // Whatever it was asked for: who brings it for others as well is none the later.
  for (const auto& bulk : bulks)
    if (bulk->layer->state_ == flight->layer->state_) bulk->progress = flight->progress;
  if (flight->bulk && !flight->waits_for_share) flight->bulk->came = flight->progress;
  count(*flight->layer, kind_of(*attempt), flight->context.cls, fresh.length);
  auto& provenance = flight->layer->state_->provenance;
  if (leaf)
    provenance.came_from_peer(block.index, {attempt->source, attempt->transfer->supplier()}, *leaf);
  else if (!sealed)
    provenance.came_from_registry(block.index);
  std::memcpy(flight->buffer->data() + flight->arrived, block.bytes.data(), fresh.length);
  flight->arrived += fresh.length;
  flight->weight_of_failure = 0;
  flight->contradiction = {};
  for (auto& part : flight->parts) {
    const ByteRange wanted = overlap(part.range, fresh);
    deliver(part.waiter, wanted, block.bytes.data() + (wanted.offset - fresh.offset), actions);
  }
  std::erase_if(flight->parts, [](const Part& part) { return part.waiter->ended; });
  write_back(flight, flight->arrived == flight->range.length, actions);
}

void Brain::refuse(const AttemptPtr& attempt, const Block& block, const util::Digest& leaf,
                   Actions& actions) {
  const FlightPtr flight = attempt->flight;
  Layer& layer = *flight->layer;
  const Supplier supplier{attempt->source, attempt->transfer->supplier()};
  const bool of_registry = kind_of(*attempt) == SourceKind::registry;
  if (layer.claimed() && !of_registry)
    layer.state_->provenance.contradicted(block.index, supplier, leaf);
  accuse(layer, supplier, "a block does not match the hash tree", actions);
  auto& contradiction = flight->contradiction;
  contradiction.add(leaf, kind_of(*attempt));
  Failure failure{Fault::corrupt, "layer " + layer.ref().digest.short_hex() +
                                      ": wrong bytes from " + supplier.name};
  if (!of_registry || contradiction.holds()) return failed(attempt, std::move(failure), actions);
  if (contradiction.of_registry() > 1) {
    failure = {Fault::unavailable, supplier.name + " gives other wrong bytes each time"};
    return failed(attempt, std::move(failure), actions);
  }
  drop(attempt, actions);
  ask_next(flight, actions);
}

void Brain::refuse_surplus(const AttemptPtr& attempt, Actions& actions) {
  const std::string why = "more bytes came than were asked for";
  const Supplier supplier{attempt->source, attempt->transfer->supplier()};
  convict(attempt->flight->layer->ref(), supplier, why, actions);
  failed(attempt, {Fault::unavailable, supplier.name + ": " + why}, actions);
}

void Brain::failed(const AttemptPtr& attempt, Failure failure, Actions& actions) {
  const FlightPtr flight = attempt->flight;
  drop(attempt, actions);
  flight->context.spare = false;  // its owner is asked after all
  // Out of time, perhaps, and others have more.
  const bool again = util::may_pass(failure.fault) &&
                     (flight->wanted_after(attempt->deadline) || renew_deadline(*flight, failure));
  flight->spent[attempt->source] = !again && !(flight->rest().length > 0 && learnt_order(*attempt));
  util::log::debug("layer {} at {}: {}: {}", flight->layer->ref().digest.short_hex(),
                   attempt->range.offset, sources[attempt->source]->name(), failure.message);
  const unsigned weight = weight_of(failure, flight->contradiction);
  if (!flight->failure || weight >= flight->weight_of_failure) {
    flight->failure = std::move(failure);
    flight->weight_of_failure = weight;
  }
  if (kind_of(*attempt) == chunk::SourceKind::peer) revive(flight, attempt->source, actions);
  ask_next(flight, actions);
}

/// A slow link, or a registry that may be asked for little at a time, is no failure of bulk.
bool Brain::renew_deadline(Flight& flight, const Failure& failure) {
  const auto now = std::chrono::steady_clock::now();
  const auto since = flight.bulk ? flight.bulk->progress.value_or(flight.bulk->began) : now;
  const bool goes_on =
      flight.bulk || std::any_of(flight.parts.begin(), flight.parts.end(), [&](const Part& part) {
        const Waiter& waiter = *part.waiter;
        return !waiter.ended && waiter.context.cls != Class::fault && waiter.until > now;
      });
  if (!goes_on || failure.fault != util::Fault::timed_out ||
      bulk_deadline(*flight.layer, since) <= now)
    return false;
  flight.context.deadline = now + options.bulk_timeout;
  return true;
}

/// Behind one source stand many peers, and they come and go: while the flight lasts (the registry
/// is slow, or dead) they are worth another try.
void Brain::revive(const FlightPtr& flight, size_t source, Actions& actions) {
  const std::chrono::milliseconds pause =
      std::min(kRevival * (1 << std::min(flight->revivals++, 4u)), kLongestPause);
  actions.push_back([this, pause, source, weak = std::weak_ptr<Flight>(flight)] {
    timers.post(pause, [brain = weak_from_this(), source, weak] {
      const auto self = brain.lock();
      const auto found = weak.lock();
      if (!self || !found) return;
      Actions then;
      {
        const std::lock_guard hold(self->mutex);
        found->spent[source] = false;
        if (found->ended) return;
        const auto choice = self->choose(*found);
        if (choice && choice->source == source) self->ask(found, *choice, then);
      }
      run(then);
    });
  });
}

/// From its first byte on: how far away the registry is says nothing of the link.
void Brain::note_pace(const Attempt& attempt) {
  const Flight& flight = *attempt.flight;
  if (!flight.shared || flight.stood_still || kind_of(attempt) == SourceKind::peer) return;
  const auto now = std::chrono::steady_clock::now();
  share_pace.came({attempt.range.length, now - attempt.first, inflow.shared}, now);
}

void Brain::on_done(AttemptPtr attempt, Outcome<util::Done> outcome) {
  attempt->launched.wait();
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    if (attempt->ended) return;
    if (attempt->blocks.complete()) {
      note_pace(*attempt);
      note_end(*attempt, true);
      drop(attempt, actions);
      ask_next(attempt->flight, actions);
    } else {
      failed(
          attempt,
          outcome ? Failure{Fault::unavailable, "a source sent too few bytes"} : outcome.failure(),
          actions);
    }
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
  ++flight->writes;
  actions.push_back([self = shared_from_this(), flight, range, bytes] {
    flight->layer->stored().write(chunk::BlockIndex{range.offset / kBlockSize}, bytes,
                                  flight->context.cls,
                                  [self, flight, range](const Outcome<util::Done>& outcome) {
                                    self->on_written(flight, range, outcome);
                                  });
  });
}

void Brain::on_written(const FlightPtr& flight, ByteRange range,
                       const Outcome<util::Done>& outcome) {
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    // The store takes what it is given for checked.
    const ByteRange doubtful = overlap(range, {flight->range.offset, flight->unproven});
    if (!doubtful.empty()) flight->layer->stored().suspect(chunk::blocks_covering(doubtful));
    forget_blocks(*flight, range);
    --flight->writes;
    if (!outcome && flight->bulk && flight->context.cls == Class::backfill)
      flight->bulk->failure = outcome.failure();
    written.notify_all();
    // It may have been the last that a bring_in() was waiting for.
    if (flight->layer->state_->by_block.empty()) pump(actions);
  }
  run(actions);
}

void Brain::forget_blocks(const Flight& flight, ByteRange range) {
  auto& table = flight.layer->state_->by_block;
  const BlockRange blocks = chunk::blocks_covering(range);
  for (uint64_t block = blocks.first; block < blocks.end(); ++block) {
    const auto found = table.find(block);
    if (found != table.end() && found->second.get() == &flight) table.erase(found);
  }
}

}  // namespace swarmfs::fetch
