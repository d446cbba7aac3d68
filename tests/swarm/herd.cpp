// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "herd.h"

#include <cassert>
#include <map>
#include <memory>
#include <set>

#include "swarm/latency.h"
#include "util/digest.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;

constexpr util::Duration kConnectTimeout = milliseconds(500);
constexpr util::Duration kLagCheck = milliseconds(100);

struct Herd;

/// One chunk that a node wants, and all who were asked for it.
struct Ask {
  struct Try {
    std::optional<PeerTable::Attempt> attempt;
    std::unique_ptr<Flow> flow;
    double told = 0;             ///< to the attempt
    util::SteadyTime moved;      ///< when it had more last
    std::shared_ptr<void> slot;  ///< at the server, while it is busy with us
  };
  uint64_t chunk = 0;
  std::vector<Candidate> peers;
  std::vector<Step> steps;
  size_t next = 0;
  bool done = false;
  unsigned busy = 0;
  unsigned referred = 0;
  std::vector<std::shared_ptr<Try>> tries;

  void break_off() {
    for (const auto& one : tries) {
      one->attempt.reset();
      one->flow.reset();
      one->slot.reset();
    }
  }
};

/// A chunk on its way from the registry, for whoever waits for it.
struct RegistryFlight {
  std::unique_ptr<Flow> flow;
  std::vector<std::function<void()>> waiters;
};

struct Node {
  Node(Herd& herd, size_t index);
  void join();
  void learn_of(size_t other);
  void pump();
  void want(uint64_t chunk);
  void plan(Ask& ask) const;
  void busy(const std::shared_ptr<Ask>& ask);
  void next_step(const std::shared_ptr<Ask>& ask);
  void ask_peer(const std::shared_ptr<Ask>& ask, const Step& step);
  void ask_registry(const std::shared_ptr<Ask>& ask);
  void receive(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Ask::Try>& attempt,
               Node& peer);
  void check_lag(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Ask::Try>& attempt);
  void got(const std::shared_ptr<Ask>& ask);
  /// As the demand server does. `slot` is held for as long as it is busy with it.
  Serve serve(const Node& asker, uint64_t chunk, std::shared_ptr<void>& slot,
              std::function<void()> ready);
  [[nodiscard]] std::vector<size_t> holders(uint64_t chunk, const Node& but) const;
  void from_registry(uint64_t chunk, std::function<void()> then);
  void have(uint64_t chunk);
  void vanish();
  void tell();
  [[nodiscard]] std::vector<bool> offers() const;
  [[nodiscard]] uint64_t length(uint64_t chunk) const;

  Herd& herd;
  const size_t index;
  const std::string id;
  PeerTable table;
  Link up;
  Link down;
  bool joined = false;
  bool gone = false;
  util::SteadyTime started;
  double took = 0;
  std::vector<bool> has;
  std::vector<std::vector<bool>> offered;  ///< by each other node, as of when it told
  std::map<uint64_t, RegistryFlight> flights;
  Latency registry;  ///< of its own requests
  std::set<std::shared_ptr<Ask>> asks;
  uint64_t cursor = 0;
  size_t wanted = 0;
  size_t missing = 0;
  unsigned serving = 0;
};

struct Herd {
  explicit Herd(const HerdOptions& o) : options(o) {
    registry.bytes_per_second = options.registry_rate;
    chunks = (options.image + options.chunk - 1) / options.chunk;
    for (size_t i = 0; i < options.nodes; ++i) nodes.push_back(std::make_unique<Node>(*this, i));
  }

  ~Herd() {
    for (const auto& node : nodes)
      for (const auto& ask : node->asks) ask->break_off();
  }

  static Endpoint endpoint(size_t index) { return {"10.0.0." + std::to_string(index), 7946}; }
  Node& node_at(const Endpoint& endpoint) {
    return *nodes[std::stoul(endpoint.address.substr(endpoint.address.rfind('.') + 1))];
  }
  [[nodiscard]] bool ended() const {
    return std::all_of(nodes.begin(), nodes.end(),
                       [](const auto& node) { return node->gone || node->took > 0; });
  }

  const HerdOptions options;
  const util::Digest layer = util::Sha256::of(util::as_bytes("layer"));
  World world;
  Link registry;
  uint64_t chunks = 0;
  double registry_bytes = 0;
  std::vector<std::unique_ptr<Node>> nodes;
};

Node::Node(Herd& the_herd, size_t the_index)
    : herd(the_herd),
      index(the_index),
      id(util::Sha256::of(util::as_bytes("node " + std::to_string(the_index))).hex().substr(0, 32)),
      table(id, the_herd.world),
      has(the_herd.chunks),
      offered(the_herd.options.nodes, std::vector<bool>(the_herd.chunks)),
      missing(the_herd.chunks) {
  const bool slow = herd.options.straggler == index;
  up.bytes_per_second = down.bytes_per_second = herd.options.node_rate / (slow ? 20 : 1);
}

void Node::join() {
  joined = true;
  started = herd.world.now();
  if (!herd.options.peers) return pump();
  herd.world.after(herd.options.look_up, [this] {
    for (const auto& other : herd.nodes) {
      if (other.get() == this || !other->joined || other->gone) continue;
      learn_of(other->index);
      other->learn_of(index);
    }
    tell();
    pump();
  });
}

void Node::learn_of(size_t other) {
  table.met(Herd::endpoint(other), herd.nodes[other]->id, "");
  offered[other] = herd.nodes[other]->offers();
}

std::vector<bool> Node::offers() const {
  std::vector<bool> result = has;
  for (const auto& [chunk, flight] : flights) result[chunk] = true;
  return result;
}

void Node::tell() {
  if (gone) return;
  const auto all = offers();
  for (const auto& other : herd.nodes) other->offered[index] = all;
  herd.world.after(herd.options.tells_every, [this] { tell(); });
}

uint64_t Node::length(uint64_t chunk) const {
  return std::min(herd.options.chunk, herd.options.image - chunk * herd.options.chunk);
}

void Node::pump() {
  while (!gone && wanted < herd.options.window && cursor < herd.chunks) {
    const uint64_t chunk = cursor++;
    if (!has[chunk]) want(chunk);
  }
}

void Node::want(uint64_t chunk) {
  wanted++;
  auto ask = std::make_shared<Ask>();
  asks.insert(ask);
  ask->chunk = chunk;
  plan(*ask);
  next_step(ask);
}

void Node::plan(Ask& ask) const {
  ask.peers = table.candidates(length(ask.chunk));
  Question question;
  question.layer = herd.layer;
  question.chunk = ask.chunk;
  question.cls = chunk::Class::pull;
  question.self = id;
  question.peers = ask.peers;
  question.registry = registry.mean();
  for (size_t i = 0; i < ask.peers.size(); ++i)
    if (offered[herd.node_at(ask.peers[i].endpoint).index][ask.chunk])
      question.holders.push_back(i);
  ask.steps = steps(question);
  ask.next = 0;
}

void Node::next_step(const std::shared_ptr<Ask>& ask) {
  if (ask->done || gone || ask->next >= ask->steps.size()) return;
  const Step step = ask->steps[ask->next++];
  if (!step.peer) return ask_registry(ask);
  ask_peer(ask, step);
}

void Node::ask_registry(const std::shared_ptr<Ask>& ask) {
  from_registry(ask->chunk, [this, ask] { got(ask); });
}

void Node::ask_peer(const std::shared_ptr<Ask>& ask, const Step& step) {
  const Endpoint endpoint = ask->peers[*step.peer].endpoint;
  Node& peer = herd.node_at(endpoint);
  auto attempt = std::make_shared<Ask::Try>();
  attempt->attempt = table.attempt(endpoint, length(ask->chunk), offered[peer.index][ask->chunk]);
  if (!attempt->attempt) return next_step(ask);
  ask->tries.push_back(attempt);
  const auto fail = [this, ask, attempt] {
    if (!attempt->attempt || ask->done || gone) return;
    attempt->attempt->failed("no answer");
    attempt->attempt.reset();
    attempt->flow.reset();
    next_step(ask);
  };
  herd.world.after(2 * herd.options.hop, [this, ask, attempt, fail, &peer] {
    if (ask->done || gone) return;
    if (peer.gone) return herd.world.after(kConnectTimeout, fail);
    const Serve answer = peer.serve(*this, ask->chunk, attempt->slot, [this, ask, attempt, &peer] {
      if (!ask->done && attempt->attempt && !gone) receive(ask, attempt, peer);
    });
    if (attempt->slot) return;
    attempt->attempt->busy();
    attempt->attempt.reset();
    if (answer == Serve::busy) return busy(ask);
    if (ask->referred++ >= kMostReferrals) return next_step(ask);
    for (const size_t holder : peer.holders(ask->chunk, *this)) offered[holder][ask->chunk] = true;
    plan(*ask);
    next_step(ask);
  });
  const size_t following = ask->next;
  herd.world.after(step.hedge, [this, ask, attempt, following] {
    const bool silent = attempt->attempt && !attempt->flow;
    if (silent && ask->next == following) next_step(ask);
  });
}

void Node::busy(const std::shared_ptr<Ask>& ask) {
  const auto pause = pause_when_busy(chunk::Class::pull, ask->busy++);
  if (!pause) return next_step(ask);
  herd.world.after(*pause, [this, ask] {
    if (ask->done || gone) return;
    plan(*ask);
    next_step(ask);
  });
}

void Node::receive(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Ask::Try>& attempt,
                   Node& peer) {
  attempt->attempt->arrived(1);
  attempt->told = 1;
  attempt->moved = herd.world.now();
  attempt->flow = std::make_unique<Flow>(
      herd.world, peer.up, down, static_cast<double>(length(ask->chunk)), [this, ask, attempt] {
        attempt->attempt->arrived(length(ask->chunk) - static_cast<uint64_t>(attempt->told));
        attempt->attempt->done();
        attempt->attempt.reset();
        attempt->slot.reset();
        got(ask);
      });
  check_lag(ask, attempt);
}

void Node::check_lag(const std::shared_ptr<Ask>& ask, const std::shared_ptr<Ask::Try>& attempt) {
  herd.world.after(kLagCheck, [this, ask, attempt] {
    if (ask->done || gone || !attempt->attempt) return;
    const double sent = attempt->flow->sent();
    attempt->attempt->arrived(static_cast<uint64_t>(sent - attempt->told));
    if (sent > attempt->told + 1000) attempt->moved = herd.world.now();
    attempt->told = sent;
    const Progress progress{length(ask->chunk), static_cast<uint64_t>(sent),
                            herd.world.now() - attempt->attempt->began(),
                            attempt->attempt->expected(), herd.world.now() - attempt->moved};
    if (lags(chunk::Class::pull, progress)) return next_step(ask);
    check_lag(ask, attempt);
  });
}

void Node::got(const std::shared_ptr<Ask>& ask) {
  if (ask->done || gone) return;
  ask->done = true;
  // Broken off by whoever was slower; their tries count as given up.
  ask->break_off();
  asks.erase(ask);
  have(ask->chunk);
  wanted--;
  pump();
}

Serve Node::serve(const Node& asker, uint64_t chunk, std::shared_ptr<void>& slot,
                  std::function<void()> ready) {
  const ServeLoad load{serving, serving, 0, serving * herd.options.chunk};
  const bool admitted = admits({}, load, chunk::Class::pull, length(chunk));
  const bool here = has[chunk] || flights.contains(chunk);
  const Serve answer = how_to_serve(admitted, here, !holders(chunk, asker).empty());
  if (answer == Serve::busy || answer == Serve::refer) return answer;
  serving++;
  slot = {this, [this](void*) { serving--; }};
  from_registry(chunk, [this, ready] { herd.world.after(herd.options.hop, ready); });
  return answer;
}

std::vector<size_t> Node::holders(uint64_t chunk, const Node& but) const {
  std::vector<size_t> result;
  for (const Candidate& peer : table.candidates(length(chunk))) {
    const size_t other = herd.node_at(peer.endpoint).index;
    if (offered[other][chunk] && other != but.index) result.push_back(other);
  }
  return result;
}

void Node::from_registry(uint64_t chunk, std::function<void()> then) {
  if (has[chunk]) return then();
  RegistryFlight& flight = flights[chunk];
  flight.waiters.push_back(std::move(then));
  if (flight.waiters.size() > 1) return;
  const util::SteadyTime began = herd.world.now();
  herd.world.after(herd.options.registry_delay, [this, chunk, began] {
    if (gone) return;
    const auto bytes = static_cast<double>(length(chunk));
    flights[chunk].flow =
        std::make_unique<Flow>(herd.world, herd.registry, down, bytes, [this, chunk, began, bytes] {
          registry.add(herd.world.now() - began);
          herd.registry_bytes += bytes;
          const auto waiters = std::move(flights[chunk].waiters);
          have(chunk);
          for (const auto& waiter : waiters) waiter();
          herd.world.after({}, [this, chunk] { flights.erase(chunk); });
        });
  });
}

void Node::have(uint64_t chunk) {
  if (has[chunk]) return;
  has[chunk] = true;
  missing--;
  if (missing == 0) {
    took = std::chrono::duration<double>(herd.world.now() - started).count();
  }
  if (herd.options.lost == index && missing < herd.chunks / 2) vanish();
}

/// Without a word: what it was sending stands still.
void Node::vanish() {
  gone = true;
  up.narrow(1);
  down.narrow(1);
  for (const auto& [chunk, flight] : flights)
    if (flight.flow) herd.registry_bytes += flight.flow->sent();
}

}  // namespace

HerdResult run_herd(const HerdOptions& options) {
  Herd herd(options);
  for (size_t i = 0; i < options.nodes; ++i)
    herd.world.after(options.joins * i / options.nodes, [&herd, i] { herd.nodes[i]->join(); });
  herd.world.run([&herd] { return herd.ended(); });
  HerdResult result;
  result.registry_bytes = herd.registry_bytes;
  for (const auto& node : herd.nodes) result.took.push_back(node->took);
  return result;
}

}  // namespace swarmfs::swarm
