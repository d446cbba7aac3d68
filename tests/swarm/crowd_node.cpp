// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "crowd_node.h"

#include <algorithm>
#include <string>

#include "fetch/hedge.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;

constexpr auto kBulk = chunk::Class::pull;
/// Of a node that is gone nobody hears.
constexpr util::Duration kConnectTimeout = milliseconds(1000);
/// As PeerTransfer's: who gives it, and who is to show that it is at it.
constexpr util::Duration kStall = milliseconds(5'000), kNoSign = milliseconds(15'000);
/// Of the DHT, which knows those who have the layer already.
constexpr util::Duration kLookUp = milliseconds(100);
/// As fetch's brain.
constexpr util::Duration kLookAgain = milliseconds(100);
/// As the daemon serves.
constexpr ServeLimits kServe{.requests = 256, .bulk_requests = 192, .per_peer = 64};

Self make_self(const CrowdWorld& world, uint32_t index) {
  const auto name = "node " + std::to_string(index);
  const std::string id = util::Sha256::of(util::as_bytes(name)).hex().substr(0, 8);
  return {index, id, "zone " + std::to_string(index % world.options.zones),
          shareholder_weight(world.layer, id)};
}

}  // namespace

Node::Node(CrowdWorld& its_world, uint32_t its_index)
    : world(its_world),
      index(its_index),
      self(make_self(world, index)),
      straggler(std::bernoulli_distribution(world.options.stragglers)(world.random)),
      up(world.wires.add_wire(world.options.node_rate / (straggler ? 20 : 1))),
      down(world.wires.add_wire(world.options.node_rate / (straggler ? 20 : 1))),
      views(self, world.options.chunks),
      news_turn(world.random()),
      has(world.options.chunks),
      missing(world.options.chunks),
      turn(std::uniform_real_distribution(0.0, 1.0)(world.random)) {}

void Node::join() {
  joined = true;
  started = world.wires.now();
  std::uniform_int_distribution<size_t> any(0, world.nodes.size() - 1);
  for (size_t i = 0; i < world.options.known_at_first; ++i)
    views.know(static_cast<uint32_t>(any(world.random)));
  tell();
  if (missing == 0) return;
  world.wires.after(kLookUp, [this] {
    for (uint32_t seed = 0; seed < world.options.seeds; ++seed) views.may_have(seed);
  });
  watch_queue();
  begin();
}

void Node::join_as_seed() {
  has.assign(has.size(), true);
  missing = 0;
  join();
}

/// As Swarm::find_claim() has the first requests wait for news.
void Node::begin() {
  if (gone) return;
  const auto until = started + news_patience(views.known(), false);
  if (world.wires.now() >= until) {
    begun = true;
    others_came = world.wires.now();
    return watch_news();
  }
  world.wires.after(milliseconds(50), [this] { begin(); });
}

void Node::vanish() {
  gone = true;
  if (missing > 0) --world.running;
  if (std::exchange(at_registry, false)) --world.at_registry;
  world.wires.set_rate(up, 1);
  for (const auto& [chunk, transfer] : transfers) {
    world.registry_bytes += world.wires.sent(transfer.flow);
    world.wires.stop(transfer.flow);
  }
  for (const auto& [chunk, ask] : asks)
    for (const auto& one : ask->tries) end(one);
  for (const auto& other : world.nodes)
    for (const auto& [chunk, ask] : other->asks)
      for (const auto& one : ask->tries)
        if (one->open && one->peer == index) other->lose(ask, one, one->flow ? kStall : kNoSign);
}

/// A round of news: both sides hear of each other.
void Node::tell() {
  if (gone) return;
  const bool begins = world.wires.now() - started < kNewsBegin;
  const uint64_t round = news_turn++;
  const auto peers = views.whom_to_ask(round);
  for (size_t i = 0; i < peers.size(); ++i) {
    const uint32_t peer = peers[i];
    Node& other = *world.nodes[peer];
    if (!other.joined || other.gone) {
      views.forget(peer);
      continue;
    }
    const bool named = has_to_name(i, peers.size(), round, begins);
    ++other.answers;
    other.told += other.news_bytes(named);
    const auto now = world.wires.now();
    if (missing > 0 || has.empty()) other.views.wanted_by(self, now);
    std::vector<bool> bits = other.has;
    for (const auto& [chunk, waiters] : other.coming) bits[chunk] = true;
    for (const auto& ask : other.queue)
      if (!ask->relays.empty()) bits[ask->chunk] = true;
    views.heard(other.self,
                {other.has, std::move(bits), other.missing > 0, !other.may_send_more(),
                 other.gauge.known(now)},
                named ? other.views.owners() : CrowdViews::Named(), now);
  }
  world.wires.after(begins ? kFirstNewsPeriod : kNewsPeriod, [this] { tell(); });
}

/// Of a crowd in the middle of a layer: each run of chunks once.
double Node::news_bytes(bool named) const {
  const auto runs = 2 * std::min<size_t>(missing, has.size() - missing) + 1;
  return 500 + 4.5 * static_cast<double>(runs) + (named ? 56.0 * kMostShareholders : 0);
}

util::Duration Node::way_to(uint32_t peer) const {
  const bool same = world.nodes[peer]->self.zone == self.zone;
  return 2 * (same ? world.options.hop : world.options.zone_hop);
}

void Node::plan(Ask& ask) {
  Question question;
  question.layer = world.layer;
  question.chunk = ask.chunk;
  question.cls = kBulk;
  question.self = self.id;
  question.zone = self.zone;
  question.link = gauge.known(world.wires.now());
  question.holders = views.holders(ask.chunk);
  auto peers = views.candidates(world.wires.now());
  for (const size_t holder : question.holders)
    peers[holder].coming = views.is_coming(holder, ask.chunk);
  question.peers = peers;
  question.registry = registry_time.mean();
  question.spare = ask.spare;
  ask.steps.clear();
  util::Duration hedges{};
  for (const Step& step : steps(question)) {
    if (step.peer) hedges += step.hedge;
    ask.steps.emplace_back(step.peer ? views.node(*step.peer) : 0, step);
  }
  const bool held = !question.holders.empty();
  const bool scarce = is_scarce(question);
  ask.ours = held ? scarce && is_ours(question) : !ask.steps.front().second.peer;
  ask.theirs = scarce && !ask.ours;
  ask.patience = patience_with_peers(kBulk, hedges, question.peers.size());
  ask.next = ask.relayed ? ask.steps.size() - 1 : 0;
}

void Node::next_step(const AskPtr& ask, CrowdWhy why) {
  if (ask->done || gone || ask->next >= ask->steps.size()) return;
  const auto [peer, step] = ask->steps[ask->next++];
  if (step.peer) return ask_peer(ask, peer, step.hedge);
  from_registry(ask->chunk, why, [this, ask] { got(ask); });
}

void Node::ask_peer(const AskPtr& ask, uint32_t peer, util::Duration hedge) {
  const auto one = std::make_shared<Try>(Try{.peer = peer});
  one->has_it = views.holds(peer, ask->chunk);
  one->began = world.wires.now();
  one->expected = views.expected(peer, one->has_it);
  views.begins(peer);
  ask->tries.push_back(one);
  world.wires.after(way_to(peer), [this, ask, one] { request(ask, one); });
  set_hedge(ask, one, ask->next, hedge);
}

void Node::set_hedge(const AskPtr& ask, const TryPtr& one, size_t following, util::Duration hedge) {
  if (hedge == util::Duration::max()) return;
  world.wires.after(hedge, [this, ask, one, following, hedge] {
    if (ask->done || gone || !one->open || one->flow || ask->next != following) return;
    if (!ask->has_next_peer()) return;
    if (!may_overtake(kBulk, congested())) return set_hedge(ask, one, following, hedge);
    const auto now = world.wires.now();
    const auto excused = one->began + request_times.patience(now) - now;
    if (!one->has_it && excused > util::Duration()) return set_hedge(ask, one, following, excused);
    next_step(ask, CrowdWhy::late);
  });
}

/// As fetch's brain hedges what asks peers: where nothing comes for as long as all of them may
/// take.
void Node::watch_hedge(const AskPtr& ask) {
  const auto due = [this, ask] {
    const auto now = world.wires.now();
    const auto lasts = std::max(ask->patience.lasts, request_times.patience(now));
    return fetch::hedge_due(now, ask->progress, lasts, false,
                            ask->patience.in_turns ? std::optional(last_came) : std::nullopt);
  };
  world.wires.after(std::max(due() - world.wires.now(), kLookAgain), [this, ask, due] {
    if (ask->done || gone || coming.contains(ask->chunk)) return;
    if (world.wires.now() < due() || congested()) return watch_hedge(ask);
    from_registry(ask->chunk, CrowdWhy::late, [this, ask] { got(ask); });
  });
}

void Node::request(const AskPtr& ask, const TryPtr& one) {
  if (ask->done || gone) return;
  Node& peer = *world.nodes[one->peer];
  if (peer.gone) return lose(ask, one, kConnectTimeout);
  one->slot = peer.serve(index, ask->chunk, !one->has_it, [this, ask, one, &peer] {
    if (ask->done || !one->open || one->flow || gone) return;
    if (!peer.may_send_more(index))
      return sent_away(ask, one, peer.views.holders_but(ask->chunk, index));
    receive(ask, one);
  });
  ++world.second().requests;
  if (!one->slot) sent_away(ask, one, peer.views.holders_but(ask->chunk, index));
}

void Node::lose(const AskPtr& ask, const TryPtr& one, util::Duration after) {
  world.wires.after(after, [this, ask, one] {
    if (!one->open || ask->done) return;
    end(one);
    views.forget(one->peer);
    ++world.second().nobody;
    const auto& tries = ask->tries;
    if (std::none_of(tries.begin(), tries.end(), [](const TryPtr& other) { return other->flow; }))
      next_step(ask, CrowdWhy::gone);
  });
}

void Node::sent_away(const AskPtr& ask, const TryPtr& one, const std::vector<uint32_t>& others) {
  end(one);
  views.was_busy(one->peer, world.wires.now());
  ++(others.empty() ? world.second().busy : world.second().referred);
  for (const uint32_t holder : others) views.named_holder(holder, ask->chunk);
  std::optional<util::Duration> pause = util::Duration();
  if (others.empty() || ask->referred++ >= kMostReferrals)
    pause = pause_when_busy(kBulk, ask->busy++);
  if (!pause) return next_step(ask, CrowdWhy::busy);
  const auto go_on = [this, weak = std::weak_ptr(ask), wait = ++ask->wait] {
    if (const auto late = weak.lock()) end_wait(late, wait);
  };
  ask->in_line = busy_lines.join(one->peer, go_on);
  world.wires.after(*pause, go_on);
}

void Node::end_wait(const AskPtr& ask, unsigned wait) {
  if (ask->done || gone || ask->wait != wait) return;
  ++ask->wait;
  ask->in_line.cancel();
  plan(*ask);
  next_step(ask, CrowdWhy::share);
}

void Node::receive(const AskPtr& ask, const TryPtr& one) {
  Node& peer = *world.nodes[one->peer];
  ++peer.sending;
  ++peer.sending_to[index];
  one->moved = ask->progress = last_came = world.wires.now();
  views.first_byte(one->peer, one->has_it, one->moved - one->began);
  const auto first = one->moved;
  one->flow = world.wires.start(peer.up, down, kCrowdChunk, [this, ask, one, first, &peer] {
    one->flow.reset();
    one->slot.reset();
    came(one->told, kCrowdChunk);
    peer.sent_one_to(index);
    peer.given.arrived(kCrowdChunk, world.wires.now());
    world.given[peer.self.zone != self.zone] += kCrowdChunk;
    ++world.second().from_peers;
    views.took(one->peer, world.wires.now() - first);
    got(ask);
    if (const auto first_in_line = busy_lines.next(one->peer)) first_in_line();
  });
  check_lag(ask, one);
}

void Node::check_lag(const AskPtr& ask, const TryPtr& one) {
  world.wires.after(kLook, [this, ask, one] {
    if (ask->done || gone || !one->open || !one->flow) return;
    const double sent = world.wires.sent(*one->flow);
    const auto now = world.wires.now();
    if (sent > one->told + 1000) one->moved = ask->progress = last_came = now;
    came(one->told, sent);
    const Progress progress{kCrowdChunk, static_cast<uint64_t>(sent), now - one->began,
                            one->expected, now - one->moved};
    if (lags(kBulk, progress) && may_overtake(kBulk, congested()) && ask->has_next_peer())
      return next_step(ask, CrowdWhy::lagging);
    check_lag(ask, one);
  });
}

void Node::came(double& before, double bytes) {
  gauge.arrived(static_cast<uint64_t>(std::max(0.0, bytes - before)), world.wires.now());
  before = bytes;
}

void Node::end(const TryPtr& one) {
  if (!std::exchange(one->open, false)) return;
  if (one->moved == util::SteadyTime() && one->slot)
    views.gave_up(one->peer, one->has_it, world.wires.now() - one->began);
  if (one->flow) {
    world.second().wasted += world.wires.sent(*one->flow) / kCrowdChunk;
    world.wires.stop(*one->flow);
    world.nodes[one->peer]->sent_one_to(index);
  }
  one->flow.reset();
  one->slot.reset();
  views.ends(one->peer);
}

void Node::sent_one_to(uint32_t peer) {
  --sending;
  if (--sending_to[peer] == 0) sending_to.erase(peer);
}

bool Node::may_send_more(std::optional<uint32_t> peer) const {
  const uint64_t limit = unsent_limit(kServe, given.best(world.wires.now()));
  uint64_t unsent = 0;
  for (const auto& [other, flows] : sending_to)
    unsent += other == peer ? flows * kCrowdChunk : unsent_to_another(limit, flows * kCrowdChunk);
  return may_send(limit, unsent, kBulk, kCrowdChunk);
}

std::shared_ptr<void> Node::serve(uint32_t asker, uint32_t chunk, bool fetch,
                                  std::function<void()> ready) {
  if (has[chunk] && !may_send_more(asker)) return nullptr;
  const ServeLoad load{serving, serving, serving_to[asker], serving * kCrowdChunk};
  const bool here = has[chunk] || coming.contains(chunk);
  const Serve how = how_to_serve(admits(kServe, load, kBulk, kCrowdChunk), here,
                                 fetch && !views.holders_but(chunk, asker).empty());
  if (how == Serve::busy || how == Serve::refer || (!fetch && !here)) return nullptr;
  if (how == Serve::relay && !may_relay()) return nullptr;
  ++serving;
  ++serving_to[asker];
  const auto began = world.wires.now();
  // A later event: the asker has the slot by then.
  world.wires.after({}, [this, chunk, how, began, ready = std::move(ready)]() mutable {
    if (gone) return;
    relay(chunk, [this, how, began, ready = std::move(ready)] {
      if (how == Serve::relay) registry_time.add(world.wires.now() - began);
      ready();
    });
  });
  return {this, [asker](void* server) {
            auto& node = *static_cast<Node*>(server);
            --node.serving;
            --node.serving_to[asker];
          }};
}

}  // namespace swarmfs::swarm
