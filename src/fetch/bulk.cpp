// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>

#include "fetch/brain.h"
#include "fetch/bulk_order.h"

namespace swarmfs::fetch {

using chunk::BlockRange;
using chunk::Class;
using chunk::kBlockSize;
using util::Failure;
using util::Fault;

namespace {

/// Requests that are looked at in search of our share, or of what is late of others', before bulk
/// goes on in order: where many share there is little of ours, and the lock is held.
constexpr unsigned kMostLooks = 32;
/// However short the plans or the gaps are: no more flights than so many in the place of one.
constexpr uint64_t kMostCuts = 4;

}  // namespace

util::Operation Brain::bring_in(std::shared_ptr<Layer> layer, Class cls, Fetcher::OnDone on_done) {
  auto bulk = std::make_shared<Bulk>();
  bulk->layer = std::move(layer);
  bulk->cls = cls;
  bulk->on_done = std::move(on_done);
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    bulks.push_back(bulk);
    if (cls != Class::pull && !std::exchange(bulk->layer->state_->in_use, true)) expect_faults();
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

void Brain::bring_whole(const std::shared_ptr<Layer>& layer, Actions& actions) {
  for (const auto& bulk : bulks) {
    if (bulk->layer->state_ != layer->state_ || bulk->cls != Class::pull) continue;
    if (bulk->in_order) return;
    bulk->go_in_order();  // in time, but it may have asked for what comes later
  }
  auto bulk = std::make_shared<Bulk>();
  bulk->layer = layer;
  bulk->cls = Class::pull;
  bulk->in_order = true;
  bulk->on_done = [](const util::Outcome<util::Done>&) {};
  bulks.push_back(std::move(bulk));
  actions.push_back([self = shared_from_this()] {
    Actions then;
    {
      const std::lock_guard hold(self->mutex);
      self->pump(then);
    }
    run(then);
  });
}

void Brain::pump(Actions& actions) {
  if (stopping) return;
  admit_waiting(actions);
  for (const Class cls : {Class::pull, Class::prefetch, Class::backfill}) {
    const auto copy = bulks;
    for (const auto& bulk : copy)
      if (bulk->cls == cls) pump_one(bulk, actions);
  }
}

void Brain::pump_one(const std::shared_ptr<Bulk>& bulk, Actions& actions) {
  const bool yields = bulk->cls != Class::pull;
  const uint64_t limit = limit_of(*bulk);
  const uint64_t count = chunk::block_count(bulk->layer->ref().size);
  bulk->go_among(wanting(bulk->layer->ref()), options.turn);
  while (!bulk->ended && !bulk->failure && bulk->in_flight < limit) {
    if (yields && held_back) return;
    if (bulk->cls == Class::backfill && awaits_allowance && !bulk->layer->is_whole()) return;
    if (bulk->layer->front_to_back()) bulk->go_in_order();
    const Next next = next_of(bulk, limit);
    if (next.run.empty()) break;
    if (!store.may_hold(next.run.count * kBlockSize, bulk->cls)) {
      bulk->failure =
          Failure{Fault::no_space, "the cache quota is full; the rest is fetched when it is read"};
      break;
    }
    if (bulk->cls == Class::backfill && !may_backfill()) return;
    start_bulk_flight(bulk, next, actions);
  }
  const bool all = bulk->cursor == count && bulk->layer->state_->by_block.empty();
  if (bulk->in_flight == 0 && (bulk->failure || all)) end_bulk(bulk, actions);
}

uint64_t Brain::limit_of(const Bulk& bulk) const {
  if (bulk.cls != Class::pull) return options.request_size * options.backfill_transfers;
  const auto pulls = std::count_if(bulks.begin(), bulks.end(),
                                   [](const auto& one) { return one->cls == Class::pull; });
  return options.request_size *
         std::max(options.pull_transfers / static_cast<unsigned>(std::max<long>(pulls, 1)), 2u);
}

Brain::Next Brain::next_of(const std::shared_ptr<Bulk>& bulk, uint64_t limit) {
  if (bulk->ours < limit / 2 && bulk->shared < share_pace.limit(std::chrono::steady_clock::now()))
    if (const BlockRange run = next_ours(*bulk, bulk->share_cursor); !run.empty())
      return {run, &bulk->share_cursor};
  if (const BlockRange run = next_to_stand_in(*bulk); !run.empty()) return {run, nullptr, true};
  return {next_of_others(bulk, limit), &bulk->cursor};
}

bool Brain::lacks(const Bulk& bulk, uint64_t block) {
  return !bulk.layer->stored().has({block, 1}) && !bulk.layer->state_->by_block.contains(block);
}

BlockRange Brain::next_run(const Bulk& bulk, uint64_t& cursor) const {
  const uint64_t count = chunk::block_count(bulk.layer->ref().size);
  for (; cursor < count; ++cursor) {
    const BlockRange next = blocks_at(cursor, count, bulk.order);
    if (!lacks(bulk, next.first)) continue;
    return first_lacking(bulk,
                         {next.first, std::min(next.count, options.request_size / kBlockSize)});
  }
  return {};
}

BlockRange Brain::first_lacking(const Bulk& bulk, BlockRange among) {
  uint64_t first = among.first;
  while (first < among.end() && !lacks(bulk, first)) ++first;
  uint64_t end = first;
  while (end < among.end() && lacks(bulk, end)) ++end;
  return {first, end - first};
}

BlockRange Brain::next_ours(const Bulk& bulk, uint64_t& cursor) const {
  for (unsigned look = 0; look < kMostLooks; ++look) {
    const BlockRange run = next_run(bulk, cursor);
    if (run.empty()) break;
    const auto choice = choose(bulk, run, false);
    if (!choice) break;
    if (choice->ours) return run;
    const uint64_t begin = chunk::bytes_of(run, bulk.layer->ref().size).offset;
    cursor += chunk::blocks_covering({begin, choice->length}).count;
  }
  return {};
}

bool Brain::leaves_to_others(Bulk& bulk) const {
  const auto now = std::chrono::steady_clock::now();
  const bool all_asked = bulk.share_cursor == chunk::block_count(bulk.layer->ref().size);
  if (all_asked && !bulk.share_asked) bulk.share_asked = now;
  return fetch::leaves_to_others(now, bulk.came, bulk.share_asked, options.link->full(now));
}

BlockRange Brain::next_to_stand_in(Bulk& bulk) const {
  const uint64_t count = chunk::block_count(bulk.layer->ref().size);
  if (bulk.share_cursor < count || !bulk.had_share || bulk.ours > 0) return {};
  if (bulk.layer->front_to_back()) return {};
  if (owes_shares(bulk.cls)) {
    bulk.looks_from.reset();
    return {};
  }
  const auto now = std::chrono::steady_clock::now();
  if (!bulk.looks_from) bulk.looks_from = now + stands_in_after(share_pace.took(now));
  if (now < *bulk.looks_from) return {};
  const BlockRange run = next_from_the_back(bulk);
  if (run.empty()) bulk.looks_from = now + kNewsWatch;
  return run;
}

/// Where its owner, who goes from the front, comes last: else both ask for the same one.
BlockRange Brain::next_from_the_back(Bulk& bulk) const {
  const uint64_t size = bulk.layer->ref().size;
  const uint64_t count = chunk::block_count(size);
  const uint64_t step = chunk::chunk_size(size) / kBlockSize;
  const uint64_t chunks = (count + step - 1) / step;
  unsigned asked = 0;
  for (uint64_t& passed = bulk.spare_cursor; passed < chunks && asked < kMostLooks; ++passed) {
    const uint64_t first = (chunks - 1 - passed) * step;
    const BlockRange run = first_lacking(bulk, {first, std::min(step, count - first)});
    if (run.empty()) continue;
    ++asked;
    const auto choice = choose(bulk, run, true);
    if (!choice || choice->ours) return choice ? run : BlockRange();
  }
  if (bulk.spare_cursor == chunks) bulk.spare_cursor = 0;
  return {};
}

bool Brain::owes_shares(Class cls) const {
  if (inflow.shared > 0) return true;
  const bool queued = std::any_of(queue.begin(), queue.end(), [&](const auto& flight) {
    return flight->shared && !flight->paused && flight->context.cls <= cls;
  });
  if (queued) return true;
  return std::any_of(bulks.begin(), bulks.end(), [&](const auto& bulk) {
    const auto& layer = bulk->layer->ref();
    return bulk->cls <= cls && bulk->share_cursor < chunk::block_count(layer.size) &&
           others_want(layer);
  });
}

std::optional<Brain::Choice> Brain::choose(const Bulk& bulk, BlockRange run, bool spare) const {
  Flight probe;
  probe.layer = bulk.layer;
  probe.range = chunk::bytes_of(run, bulk.layer->ref().size);
  probe.context.cls = bulk.cls;
  probe.context.spare = spare;
  probe.spent.resize(sources.size());
  return choose(probe);
}

BlockRange Brain::next_of_others(const std::shared_ptr<Bulk>& bulk, uint64_t limit) {
  const Layer& layer = *bulk->layer;
  const BlockRange first = next_run(*bulk, bulk->cursor);
  if (first.empty() || layer.front_to_back() || peers_have(layer.with_origins(), first))
    return first;
  const bool may_wait = may_wait_for_share(bulk->waiting, limit);
  // The search is long, and nothing is new yet.
  if (bulk->awaits_news && (!may_wait || bulk->leaves)) return {};
  if (const BlockRange ahead = next_that_peers_have(*bulk); !ahead.empty()) return ahead;
  const auto choice = choose(*bulk, first, false);
  bulk->leaves = choice && choice->theirs && leaves_to_others(*bulk);
  if (may_wait && !bulk->leaves) return first;
  if (!choice || sources[choice->source]->kind() != chunk::SourceKind::peer) return first;
  await_news(bulk);
  return {};
}

BlockRange Brain::next_that_peers_have(const Bulk& bulk) const {
  const auto& table = bulk.layer->state_->by_block;
  const auto& stored = bulk.layer->stored();
  const chunk::LayerRef ref = bulk.layer->with_origins();
  const uint64_t count = chunk::block_count(ref.size);
  const uint64_t chunk_blocks = chunk::chunk_size(ref.size) / kBlockSize;
  uint64_t at = bulk.cursor;
  unsigned lacking = 0;
  for (unsigned passed = 0; lacking < kMostAhead && passed < kMostPassed && at < count; ++passed) {
    const BlockRange next = blocks_at(at, count, bulk.order);
    const uint64_t length = std::min(next.count, chunk_blocks - next.first % chunk_blocks);
    const bool lacks = !stored.has({next.first, 1}) && !table.contains(next.first);
    if (lacks && peers_have(ref, {next.first, length})) return next_run(bulk, at);
    lacking += lacks;
    at += length;
  }
  return {};
}

size_t Brain::wanting(const chunk::LayerRef& layer) const {
  size_t most = 0;
  for (chunk::Source* source : sources) most = std::max(most, source->wanting(layer));
  return most;
}

bool Brain::peers_have(const chunk::LayerRef& layer, BlockRange run) const {
  const auto range = chunk::bytes_of(run, layer.size);
  return std::any_of(sources.begin(), sources.end(), [&](chunk::Source* source) {
    return source->kind() == chunk::SourceKind::peer && source->has(layer, range);
  });
}

void Brain::await_news(const std::shared_ptr<Bulk>& bulk) {
  if (std::exchange(bulk->awaits_news, true)) return;
  look_later(kNewsWatch, [late = std::weak_ptr<Bulk>(bulk)](Brain& self, Actions& actions) {
    const auto found = late.lock();
    if (!found) return;
    bury(found, actions);
    found->awaits_news = false;
    if (!self.stopping && !found->ended) self.pump_one(found, actions);
  });
}

void Brain::start_bulk_flight(const std::shared_ptr<Bulk>& bulk, Next next, Actions& actions) {
  const auto [run, cursor, spare] = next;
  const uint64_t count = chunk::block_count(bulk->layer->ref().size);
  const auto deadline = std::chrono::steady_clock::now() + options.bulk_timeout;
  chunk::FetchContext context{bulk->cls, deadline, "", false};
  context.spare = spare;
  const auto flight = make_flight(bulk->layer, run, std::move(context), actions);
  const uint64_t blocks = chunk::blocks_covering(flight->range).count;
  if (bulk->cls == Class::backfill) spend_on_backfill(bulk, flight->range.length);
  flight->bulk = bulk;
  flight->weight = std::max(flight->range.length, options.request_size / kMostCuts);
  bulk->in_flight += flight->weight;
  if (flight->ours) bulk->ours += flight->weight;
  if (flight->shared) bulk->shared += flight->range.length;
  bulk->had_share |= flight->ours && !spare;
  flight->waits_for_share =
      !flight->ours && !peers_have(bulk->layer->with_origins(), {run.first, blocks});
  if (flight->waits_for_share) bulk->waiting += flight->weight;
  // Else it was ahead of the others, or the order is another by now.
  if (cursor && *cursor < count && blocks_at(*cursor, count, bulk->order).first == run.first)
    *cursor += blocks;
}

void Brain::bring_in_again(const LayerState& state, util::ByteRange range) {
  for (const auto& bulk : bulks)
    if (bulk->layer->state_.get() == &state) bulk->go_back_to(range.offset / kBlockSize);
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

void Brain::stop() {
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    stopping = true;
    for (const auto& bulk : bulks) bulk->ended = true;
    bulks.clear();
    const auto dropped = flights;
    for (const auto& flight : dropped) {
      for (const auto& part : retire(flight, actions))
        end_waiter(part.waiter, Failure{Fault::cancelled, "the daemon stops"}, actions);
      forget_blocks(*flight, flight->range);
    }
    bury(std::move(quiet_timer), actions);
  }
  run(actions);
  looks.close();
}

}  // namespace swarmfs::fetch
