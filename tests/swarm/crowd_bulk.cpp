// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <cmath>

#include "crowd_node.h"
#include "fetch/bulk_order.h"
#include "fetch/fetcher.h"
#include "registry/budget.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kBlocks = kCrowdChunk / chunk::kBlockSize;
// As fetch's brain.
constexpr unsigned kMostLooks = 32;
constexpr util::Duration kQueueWatch = milliseconds(500);
constexpr util::Duration kNewsWatch = milliseconds(100);
constexpr util::Duration kSilent = std::chrono::seconds(3);

/// What a pull has under way.
uint64_t pull_limit() {
  const fetch::FetchOptions options;
  return options.request_size * options.pull_transfers;
}

}  // namespace

bool Node::lacks(uint32_t chunk) const {
  return !has[chunk] && !asks.contains(chunk) && !coming.contains(chunk);
}

std::optional<uint32_t> Node::next_run(uint64_t& at) const {
  const uint64_t count = has.size();
  for (; at < count; ++at) {
    const auto blocks = fetch::blocks_at(at * kBlocks, count * kBlocks, order);
    const auto chunk = static_cast<uint32_t>(blocks.first / kBlocks);
    if (lacks(chunk)) return chunk;
  }
  return {};
}

AskPtr Node::next_from_the_back() {
  for (unsigned looks = 0; spare_cursor < has.size() && looks < kMostLooks; ++spare_cursor) {
    const auto chunk = static_cast<uint32_t>(has.size() - 1 - spare_cursor);
    if (!lacks(chunk)) continue;
    ++looks;
    const auto ask = std::make_shared<Ask>(Ask{.chunk = chunk, .spare = true});
    plan(*ask);
    if (ask->ours) return ask;
  }
  if (spare_cursor == has.size()) spare_cursor = 0;
  return nullptr;
}

AskPtr Node::next_ours(uint64_t& at) {
  for (unsigned look = 0; look < kMostLooks; ++look) {
    const auto chunk = next_run(at);
    if (!chunk) break;
    ++at;
    const auto ask = std::make_shared<Ask>(Ask{.chunk = *chunk});
    plan(*ask);
    if (ask->ours) return ask;
  }
  return nullptr;
}

bool Node::leaves_to_others() {
  const auto now = world.wires.now();
  if (share_cursor == has.size() && !share_asked) share_asked = now;
  return fetch::leaves_to_others(now, others_came, share_asked, congested());
}

AskPtr Node::next_to_stand_in() {
  if (share_cursor < has.size() || !had_share || ours > 0 || shared > 0) return nullptr;
  const auto now = world.wires.now();
  if (!looks_from) looks_from = now + fetch::stands_in_after(pace.took(now));
  if (now < *looks_from) return nullptr;
  AskPtr ask = next_from_the_back();
  if (!ask) looks_from = now + kNewsWatch;
  return ask;
}

AskPtr Node::next_of_others() {
  const auto first = next_run(cursor);
  if (!first) return nullptr;
  const auto ask = std::make_shared<Ask>(Ask{.chunk = *first});
  uint64_t at = cursor;
  for (unsigned looks = 0; looks < fetch::kMostAhead && at < has.size(); ++at) {
    const auto blocks = fetch::blocks_at(at * kBlocks, has.size() * kBlocks, order);
    const auto chunk = static_cast<uint32_t>(blocks.first / kBlocks);
    if (!lacks(chunk)) continue;
    ++looks;
    if (!is_to_be_had(views.copies(chunk))) continue;
    ask->chunk = chunk;
    plan(*ask);
    return ask;
  }
  plan(*ask);
  if (!ask->steps.front().second.peer) return ask;
  if (ask->theirs && leaves_to_others()) return nullptr;
  ask->waits = fetch::may_wait_for_share(waiting * kCrowdChunk, pull_limit());
  return ask->waits ? ask : nullptr;
}

void Node::pump() {
  if (gone || !begun) return;
  if (const auto best = fetch::order_among(views.wanting(), turn, order); best != order) {
    cursor = share_cursor = 0;
    order = best;
  }
  admit();
  while (asks.size() * kCrowdChunk < pull_limit()) {
    const bool may_ours = ours * kCrowdChunk < pull_limit() / 2 &&
                          shared * kCrowdChunk < pace.limit(world.wires.now());
    AskPtr ask = may_ours ? next_ours(share_cursor) : nullptr;
    if (!ask) ask = next_to_stand_in();
    if (!ask) ask = next_of_others();
    if (!ask) break;
    enqueue(ask);
  }
  admit();
}

/// As fetch awaits news while there is only to be had what nobody has.
void Node::watch_news() {
  if (gone || missing == 0) return;
  pump();
  world.wires.after(kNewsWatch, [this] { watch_news(); });
}

void Node::enqueue(const AskPtr& ask) {
  ask->counts_as_ours = ask->ours;
  ours += ask->ours;
  ask->shared = is_paced() && ask->ours && !ask->spare &&
                (ask->steps.empty() || !ask->steps.front().second.peer);
  shared += ask->shared;
  had_share |= ask->ours && !ask->spare;
  waiting += ask->waits;
  ask->progress = world.wires.now();
  asks.emplace(ask->chunk, ask);
  queue.push_back(ask);
}

void Node::admit() {
  if (queue.empty()) return;
  auto limit = fetch::inflow_limit(gauge.best(world.wires.now()), false);
  limit.shared = pace.limit(world.wires.now());
  for (;;) {
    std::vector<fetch::WaitingRequest> requests;
    for (const auto& ask : queue)
      requests.push_back({chunk::Class::pull, ask->counts_as_ours, !ask->relays.empty(),
                          inflow.bytes, ask->shared});
    const auto next = fetch::next_in(requests, inflow, limit);
    if (!next) return;
    const auto place = std::next(queue.begin(), static_cast<ptrdiff_t>(*next));
    const AskPtr ask = *place;
    queue.erase(place);
    let_in(ask);
  }
}

void Node::let_in(const AskPtr& ask) {
  ask->admitted = true;
  inflow.bytes += kCrowdChunk;
  if (ask->counts_as_ours) inflow.ours += kCrowdChunk;
  if (ask->shared) inflow.shared += kCrowdChunk;
  ++inflow.requests;
  ask->progress = world.wires.now();
  // A later event: who lets it in may be in the middle of something.
  world.wires.after({}, [this, ask] {
    if (ask->done || gone) return;
    for (auto& then : std::exchange(ask->relays, {}))
      from_registry(ask->chunk, CrowdWhy::relay, std::move(then));
    if (ask->done) return;
    plan(*ask);
    next_step(ask, CrowdWhy::share);
    watch_hedge(ask);
  });
}

bool Node::may_relay() const {
  const auto in_line = std::count_if(queue.begin(), queue.end(),
                                     [](const AskPtr& ask) { return !ask->relays.empty(); });
  return static_cast<uint64_t>(in_line) * kCrowdChunk <
         fetch::SharePace::kTurnsInLine * pace.limit(world.wires.now());
}

void Node::relay(uint32_t chunk, std::function<void()> then) {
  const auto found = asks.find(chunk);
  AskPtr ask = found == asks.end() ? nullptr : found->second;
  if (has[chunk] || coming.contains(chunk) || !is_paced() || (ask && ask->admitted)) {
    if (ask) ask->relayed = true;
    return from_registry(chunk, CrowdWhy::relay, std::move(then));
  }
  if (!ask) {
    ask = std::make_shared<Ask>(Ask{.chunk = chunk});
    ask->ours = true;
    enqueue(ask);
  }
  if (!std::exchange(ask->shared, true)) ++shared;
  ask->relayed = true;
  ask->relays.push_back(std::move(then));
  admit();
}

void Node::give_inflow(Ask& ask) {
  if (!std::exchange(ask.admitted, false)) return;
  inflow.bytes -= kCrowdChunk;
  if (ask.counts_as_ours) inflow.ours -= kCrowdChunk;
  if (ask.shared) inflow.shared -= kCrowdChunk;
  --inflow.requests;
}

/// Bulk that got nothing for so long keeps other bulk waiting no longer.
void Node::watch_queue() {
  if (gone || missing == 0) return;
  const auto since = world.wires.now() - kSilent;
  for (const auto& [chunk, ask] : asks)
    if (ask->progress < since) give_inflow(*ask);
  if (!queue.empty() && queue.front()->progress < since) {
    const AskPtr eldest = queue.front();
    queue.pop_front();
    let_in(eldest);
  }
  admit();
  world.wires.after(kQueueWatch, [this] { watch_queue(); });
}

void Node::got(const AskPtr& ask) {
  if (ask->done || gone) return;
  ask->done = true;
  for (const auto& one : ask->tries) {
    world.second().dropped += one->open && !one->flow && one->moved == util::SteadyTime();
    end(one);
  }
  ask->tries.clear();
  if (!ask->waits) others_came = world.wires.now();
  give_inflow(*ask);
  queue.remove(ask);
  ours -= ask->counts_as_ours;
  shared -= ask->shared;
  waiting -= ask->waits;
  asks.erase(ask->chunk);
  have(ask->chunk);
  pump();
}

void Node::have(uint32_t chunk) {
  if (has[chunk]) return;
  has[chunk] = true;
  ++world.sources[chunk];
  last_came = world.wires.now();
  if (--missing > 0) return;
  took = std::chrono::duration<double>(world.wires.now() - started).count();
  --world.running;
}

void Node::from_registry(uint32_t chunk, CrowdWhy why, std::function<void()> then) {
  if (has[chunk]) return then();
  auto& waiters = coming[chunk];
  waiters.push_back(std::move(then));
  if (waiters.size() > 1) return;
  ++world.second().asked[static_cast<size_t>(why)];
  if (world.sources[chunk]++ > 0) ++world.second().again[static_cast<size_t>(why)];
  timed[chunk] = request_times.begins(world.wires.now());
  to_ask.push_back(chunk);
  if (!std::exchange(at_registry, true)) ++world.at_registry;
  ask_registry();
}

void Node::ask_registry() {
  const auto part = registry::stricter(
      registry::kNodeLimits,
      registry::part_of(registry::kClusterLimits, std::max(1u, world.at_registry) - 1));
  while (!to_ask.empty() && connections < part.connections) {
    ++connections;
    transfer(to_ask.front());
    to_ask.pop_front();
  }
  if (connections == 0 && std::exchange(at_registry, false)) --world.at_registry;
}

void Node::transfer(uint32_t chunk) {
  world.wires.after(world.options.registry_delay, [this, chunk] {
    if (gone) return;
    const auto flow =
        world.wires.start(world.registry, down, kCrowdChunk, [this, chunk] { transferred(chunk); });
    transfers[chunk] = {flow, world.wires.now()};
    watch_transfer(chunk);
  });
}

void Node::watch_transfer(uint32_t chunk) {
  world.wires.after(kLook, [this, chunk] {
    const auto found = transfers.find(chunk);
    if (found == transfers.end()) return;
    Transfer& transfer = found->second;
    const double sent = world.wires.sent(transfer.flow);
    // Bulk that comes by blocks, from wherever, is a sign that all of it does.
    if (std::floor(sent / chunk::kBlockSize) > std::floor(transfer.told / chunk::kBlockSize))
      last_came = world.wires.now();
    came(transfer.told, sent);
    watch_transfer(chunk);
  });
}

void Node::transferred(uint32_t chunk) {
  came(transfers.at(chunk).told, kCrowdChunk);
  const auto now = world.wires.now();
  pace.came({kCrowdChunk, now - transfers.at(chunk).began, inflow.shared}, now);
  transfers.erase(chunk);
  request_times.ends(timed.extract(chunk).mapped(), true, now);
  world.registry_bytes += kCrowdChunk;
  ++world.second().from_registry;
  --world.sources[chunk];
  const auto waiters = std::move(coming[chunk]);
  coming.erase(chunk);
  have(chunk);
  --connections;
  ask_registry();
  for (const auto& waiter : waiters) waiter();
  if (const auto ask = asks.find(chunk); ask != asks.end()) got(AskPtr(ask->second));
}

}  // namespace swarmfs::swarm
