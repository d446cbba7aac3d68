// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/flight.h"

#include <algorithm>
#include <cassert>

#include "fetch/brain.h"
#include "fetch/hedge.h"

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

/// Who waits for just this, in order, has no patience with turns; a client's ends after 20 s.
constexpr std::chrono::seconds kAwaited{12};
/// What is given in turns waits so long, at most, for no more than that another layer comes.
constexpr std::chrono::seconds kBesideOthers{6};
constexpr std::chrono::milliseconds kLookAgain{100};  ///< where nobody else could be asked

/// What a plan of `length` bytes covers of `rest` bytes: whole blocks, at least one.
uint64_t whole_blocks(uint64_t length, uint64_t rest) {
  if (length >= rest) return rest;
  return std::min(rest, std::max(kBlockSize, length / kBlockSize * kBlockSize));
}

Brain::Choice choice_of(size_t source, const chunk::Plan& plan, const Flight& flight) {
  return {source,
          whole_blocks(plan.length, flight.rest().length),
          plan.hedge,
          plan.in_turns,
          plan.front_to_back,
          plan.ours,
          plan.theirs};
}

std::vector<BlockRange> merged(std::vector<BlockRange> runs) {
  std::sort(runs.begin(), runs.end());
  std::vector<BlockRange> made;
  for (const auto& run : runs) {
    if (!made.empty() && run.first <= made.back().end())
      made.back().count = std::max(made.back().end(), run.end()) - made.back().first;
    else
      made.push_back(run);
  }
  return made;
}

}  // namespace

FlightPtr Brain::make_flight(const std::shared_ptr<Layer>& layer, BlockRange blocks,
                             chunk::FetchContext context, Actions& actions) {
  auto flight = std::make_shared<Flight>();
  flight->layer = layer;
  flight->range = chunk::bytes_of(blocks, layer->ref().size);
  flight->context = std::move(context);
  flight->spent.resize(sources.size());
  const auto choice = choose(*flight);
  if (choice) flight->range.length = choice->length;
  blocks = chunk::blocks_covering(flight->range);
  for (uint64_t block = blocks.first; block < blocks.end(); ++block)
    layer->state_->by_block[block] = flight;
  flights.push_back(flight);
  if (choice) {
    begin(flight, *choice, actions);
  } else {
    // Later: its waiters have yet to join.
    actions.push_back([self = shared_from_this(), flight] {
      Actions then;
      {
        const std::lock_guard hold(self->mutex);
        self->ask_next(flight, then);
      }
      run(then);
    });
  }
  return flight;
}

void Brain::begin(const FlightPtr& flight, const Choice& choice, Actions& actions) {
  flight->ours = choice.ours;
  const auto& context = flight->context;
  // What passes only once is not waited with.
  if (context.cls == Class::fault || choice.front_to_back) return ask(flight, choice, actions);
  flight->shared = is_shared(*flight, choice);
  if (context.for_peer && !flight->shared) return let_in(flight, actions);
  flight->relayed = context.for_peer;
  enqueue(flight);
  admit_waiting(actions);
}

bool Brain::is_shared(const Flight& flight, const Choice& choice) const {
  const auto& context = flight.context;
  // The next faults will ask for what is prefetched.
  const bool ours = choice.ours && !context.spare && context.cls != Class::prefetch &&
                    sources[choice.source]->kind() != SourceKind::peer;
  return (ours || context.for_peer) && SharePace::holds_among(wanting(flight.layer->ref()));
}

std::optional<Brain::Choice> Brain::choose(const Flight& flight) const {
  const ByteRange rest = flight.rest();
  // Who waits for a peer's sake must not come to wait for a peer, not even for a hedge.
  const bool for_peer =
      flight.context.for_peer || flight.relayed ||
      (!flight.attempts.empty() &&
       std::any_of(flight.parts.begin(), flight.parts.end(),
                   [](const Part& part) { return part.waiter->context.for_peer; }));
  auto context = flight.context;
  context.sealed = flight.layer->sealed();
  context.spare &= flight.attempts.empty();  // else it takes too long
  const bool no_peers = for_peer || flight.layer->state_->peers_barred;
  for (size_t i = 0; i < sources.size(); ++i) {
    const bool busy = std::any_of(flight.attempts.begin(), flight.attempts.end(),
                                  [&](const auto& attempt) { return attempt->source == i; });
    if (busy || flight.spent[i] || (no_peers && sources[i]->kind() == SourceKind::peer)) continue;
    if (const auto plan = sources[i]->plan(flight.layer->with_origins(), rest, context)) {
      auto choice = choice_of(i, *plan, flight);
      choice.ours |= sources[i]->kind() != SourceKind::peer;
      return choice;
    }
  }
  return std::nullopt;
}

Brain::OfRegistry& Brain::registry_of(const Layer& layer) {
  auto origins = layer.origins_.lock();
  return registries[origins->empty() ? std::string() : origins->front().registry];
}

bool Brain::learnt_order(const Attempt& attempt) const {
  const auto& flight = *attempt.flight;
  if (attempt.front_to_back) return false;
  const auto plan =
      sources[attempt.source]->plan(flight.layer->with_origins(), flight.rest(), flight.context);
  return plan && plan->front_to_back;
}

bool Brain::asks_peer(const Flight& flight) const {
  return std::any_of(flight.attempts.begin(), flight.attempts.end(),
                     [&](const auto& attempt) { return kind_of(*attempt) == SourceKind::peer; });
}

std::vector<BlockRange> Brain::coming(const Layer& layer) {
  std::vector<BlockRange> found;
  const std::lock_guard hold(mutex);
  for (const auto& flight : flights)
    if (flight->layer->state_ == layer.state_ &&
        (flight->queued ? flight->relayed : !flight->attempts.empty() && !asks_peer(*flight)))
      found.push_back(chunk::blocks_covering(flight->range));
  return merged(std::move(found));
}

void Brain::ask(const FlightPtr& flight, const Choice& choice, Actions& actions) {
  if (!flight->buffer) flight->buffer = std::make_shared<util::Bytes>(flight->range.length);
  flight->relayed = false;
  const ByteRange rest = flight->rest();
  auto attempt = std::make_shared<Attempt>(flight, choice.source,
                                           rest.clamp(rest.offset + choice.length), choice.hedge);
  flight->attempts.push_back(attempt);
  attempt->front_to_back = choice.front_to_back;
  if (kind_of(*attempt) != SourceKind::peer) flight->layer->front_to_back_ = choice.front_to_back;
  flight->progress = std::chrono::steady_clock::now();
  flight->in_turns = choice.in_turns;
  if (kind_of(*attempt) != SourceKind::peer && flight->context.cls != Class::fault) time(*attempt);
  set_hedge(flight, choice.hedge);
  if (kind_of(*attempt) == SourceKind::peer) leave_for_peers(flight, actions);
  if (flight->awaited_by_reader()) hurry(flight, actions);
  actions.push_back([self = shared_from_this(), attempt] { self->launch(attempt); });
  if (choice.front_to_back) bring_whole(flight->layer, actions);
}

void Brain::leave_for_peers(const FlightPtr& flight, Actions& actions) {
  bool others = false;
  for (size_t i = 0; i < sources.size(); ++i)
    others = others || (sources[i]->kind() != SourceKind::peer && !flight->spent[i]);
  const auto why =
      flight->failure.value_or(Failure{Fault::unavailable, "nobody but a peer can supply it now"});
  const auto leaving =
      std::stable_partition(flight->parts.begin(), flight->parts.end(),
                            [](const Part& part) { return !part.waiter->context.for_peer; });
  const std::vector<Part> parts(leaving, flight->parts.end());
  flight->parts.erase(leaving, flight->parts.end());
  for (const auto& [waiter, range] : parts) {
    if (waiter->ended) continue;
    if (others)
      fly(flight->layer, waiter, chunk::blocks_covering(overlap(range, flight->rest())), actions);
    else
      end_waiter(waiter, why, actions);
  }
}

void Brain::ask_next(const FlightPtr& flight, Actions& actions) {
  if (flight->ended || flight->queued || !flight->attempts.empty()) return;
  if (flight->arrived == flight->range.length) return end_flight(flight, actions);
  if (const auto choice = choose(*flight)) return ask(flight, *choice, actions);
  if (!flight->failure)
    flight->failure = Failure{Fault::unavailable, "no source can supply it now"};
  end_flight(flight, actions);
}

void Brain::launch(const AttemptPtr& attempt) {
  Flight& flight = *attempt->flight;
  chunk::FetchContext context;
  std::shared_ptr<RequestTimes> times;
  {
    const std::lock_guard hold(mutex);
    if (attempt->ended) return;
    context = flight.context;
    // Readers that joined bulk are served as what they are.
    for (const auto& part : flight.parts) {
      if (part.waiter->ended) continue;
      context.cls = std::min(context.cls, part.waiter->context.cls);
      context.deadline = std::max(context.deadline, part.waiter->context.deadline);
    }
    attempt->deadline = context.deadline;
    attempt->cls = context.cls;
    times = registry_of(*flight.layer).times;
  }
  context.congested = [link = options.link] {
    return link->full(std::chrono::steady_clock::now());
  };
  context.relay_patience = [times = std::move(times)] {
    return times->patience(std::chrono::steady_clock::now());
  };
  const std::weak_ptr<Brain> weak = weak_from_this();
  auto transfer = sources[attempt->source]->fetch(
      flight.layer->with_origins(), attempt->range, context,
      [weak, attempt](util::ByteView bytes) {
        if (const auto self = weak.lock()) self->on_data(attempt, bytes);
      },
      [weak, attempt](Outcome<util::Done> outcome) {
        if (const auto self = weak.lock()) self->on_done(attempt, std::move(outcome));
      });
  {
    const std::lock_guard hold(mutex);
    if (!attempt->ended) {
      if (flight.paused) transfer->pause();
      attempt->transfer = std::move(transfer);
    }
  }
  attempt->launched.count_down();
}

void Brain::time(Attempt& attempt) {
  attempt.times = registry_of(*attempt.flight->layer).times;
  attempt.timed = attempt.times->begins(std::chrono::steady_clock::now());
}

void Brain::note_end(Attempt& attempt, bool whole) {
  if (const auto times = std::exchange(attempt.times, nullptr))
    times->ends(attempt.timed, whole, std::chrono::steady_clock::now());
}

void Brain::drop(const AttemptPtr& attempt, Actions& actions) {
  attempt->ended = true;
  note_end(*attempt, false);
  std::erase(attempt->flight->attempts, attempt);
  bury(std::move(attempt->transfer), actions);
}

std::vector<Part> Brain::retire(const FlightPtr& flight, Actions& actions) {
  flight->ended = true;
  flights.remove(flight);
  const auto attempts = flight->attempts;
  for (const auto& attempt : attempts) drop(attempt, actions);
  if (flight->queued) leave_queue(flight);
  give_inflow(*flight);
  if (flight->bulk) flight->bulk->in_flight -= flight->weight;
  if (flight->bulk && flight->ours) flight->bulk->ours -= flight->weight;
  if (flight->bulk && flight->shared) flight->bulk->shared -= flight->range.length;
  if (flight->waits_for_share) flight->bulk->waiting -= flight->weight;
  return std::exchange(flight->parts, {});
}

void Brain::end_flight(const FlightPtr& flight, Actions& actions) {
  const auto parts = retire(flight, actions);
  if (flight->arrived < flight->range.length) {
    for (const auto& part : parts) end_waiter(part.waiter, flight->failure, actions);
    if (flight->bulk) flight->bulk->failure = flight->failure;
    write_back(flight, true, actions);
    forget_blocks(*flight, flight->rest());
    bring_in_again(*flight->layer->state_, flight->rest());
  }
  if (flight->bulk || flight->layer->state_->by_block.empty())
    pump(actions);
  else
    admit_waiting(actions);
}

util::SteadyTime Brain::hedge_due(const Flight& flight, util::SteadyTime now) {
  if (!flight.in_turns) return fetch::hedge_due(now, flight.progress, flight.hedge, flight.paused);
  const bool awaited = flight.awaited();
  const auto patience = std::max(flight.hedge, registry_of(*flight.layer).times->patience(now));
  const auto due = fetch::hedge_due(
      now, flight.progress, awaited ? std::min<util::Duration>(patience, kAwaited) : patience,
      flight.paused, awaited ? std::nullopt : bulk_progress(*flight.layer));
  const auto after_all =
      fetch::hedge_due(now, flight.progress, flight.hedge, flight.paused, bulk_came);
  return std::max(due, std::min(after_all, flight.progress + kBesideOthers));
}

std::optional<util::SteadyTime> Brain::bulk_progress(const Layer& layer) const {
  const auto found = std::find_if(bulks.begin(), bulks.end(), [&](const auto& bulk) {
    return bulk->layer->state_ == layer.state_;
  });
  return found == bulks.end() ? std::nullopt : (*found)->progress;
}

void Brain::set_hedge(const FlightPtr& flight, util::Duration hedge) {
  flight->hedge = hedge;
  const auto now = std::chrono::steady_clock::now();
  const auto due = hedge_due(*flight, now);
  if (due == util::SteadyTime::max())
    ++flight->look;
  else
    look_after(flight, due - now);
}

void Brain::look_after(const FlightPtr& flight, util::Duration pause) {
  const unsigned look = ++flight->look;
  // No operation that whoever ends the flight would have to wait for: the look may drop a transfer
  // and wait for its callback, and that may be who ends the flight.
  timers.post(pause, [weak = weak_from_this(), late = std::weak_ptr<Flight>(flight), look] {
    const auto self = weak.lock();
    const auto found = late.lock();
    if (self && found) self->looks.run([&] { self->look_at_hedge(found, look); });
  });
}

void Brain::look_at_hedge(const FlightPtr& flight, unsigned look) {
  Actions actions;
  {
    const std::lock_guard hold(mutex);
    if (flight->ended || flight->look != look) return;
    const auto now = std::chrono::steady_clock::now();
    if (hedge_due(*flight, now) > now)
      set_hedge(flight, flight->hedge);
    else if (flight->rest().empty())
      end_flight(flight, actions);  // it gave all and does not come to an end
    else if (!ask_for_reader(flight, actions))
      ask_company(flight, actions);
  }
  run(actions);
}

void Brain::ask_company(const FlightPtr& flight, Actions& actions) {
  const auto choice = waits_its_turn(*flight) ? std::nullopt : choose(*flight);
  if (choice) return ask(flight, *choice, actions);
  // Who can help may come yet.
  look_after(flight, std::max<util::Duration>(flight->hedge, kLookAgain));
}

void Brain::hurry(const FlightPtr& flight, Actions& actions) {
  if (flight->context.cls == Class::fault || flight->attempts.empty()) return;
  if (ask_for_reader(flight, actions)) return;
  const auto plan = plan_for_reader(*flight, flight->attempts.back()->source);
  // Who supplies nothing to a fault leaves it to the next source.
  const auto hedge = plan ? plan->hedge : util::Duration::zero();
  flight->in_turns = false;
  set_hedge(flight, std::min(hedge, flight->hedge));
}

std::optional<chunk::Plan> Brain::plan_for_reader(const Flight& flight, size_t source) const {
  auto context = flight.context;
  context.cls = Class::fault;
  context.sealed = flight.layer->sealed();
  return sources[source]->plan(flight.layer->with_origins(), flight.rest(), context);
}

bool Brain::ask_for_reader(const FlightPtr& flight, Actions& actions) {
  if (!flight->awaited_by_reader()) return false;
  const auto held =
      std::find_if(flight->attempts.begin(), flight->attempts.end(), [](const AttemptPtr& attempt) {
        return attempt->cls != Class::fault && attempt->transfer &&
               attempt->transfer->told_to_wait();
      });
  if (held == flight->attempts.end()) return false;
  const AttemptPtr attempt = *held;
  const auto plan = plan_for_reader(*flight, attempt->source);
  if (!plan) return false;
  drop(attempt, actions);
  ask(flight, choice_of(attempt->source, *plan, *flight), actions);
  return true;
}

void Brain::set_paused(const FlightPtr& flight, bool paused, Actions& actions) {
  flight->paused = paused;
  flight->stood_still |= paused;
  // What it takes from now on is no matter of the registry's.
  if (paused)
    for (const auto& attempt : flight->attempts) note_end(*attempt, false);
  // What stands still by our own will keeps nobody waiting.
  if (paused)
    give_inflow(*flight);
  else if (!flight->queued)
    take_inflow(*flight);
  if (!paused) flight->progress = std::chrono::steady_clock::now();
  actions.push_back([this, flight, paused] {
    const std::lock_guard hold(mutex);
    if (flight->paused != paused) return;
    for (const auto& attempt : flight->attempts) {
      if (!attempt->transfer) continue;
      if (paused)
        attempt->transfer->pause();
      else
        attempt->transfer->resume();
    }
  });
}

}  // namespace swarmfs::fetch
