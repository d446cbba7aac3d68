// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/discovery.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <map>
#include <set>
#include <thread>

#include "swarm/addresses.h"
#include "swarm/announcements.h"
#include "swarm/dht.h"
#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using util::SteadyTime;

/// Each costs a walk of twenty to forty datagrams.
constexpr size_t kAnnouncedPerTick = 32;
/// With so many nodes in the routing tables the DHT looks after itself.
constexpr size_t kWellConnected = 8;
/// One look-up tells no more: anybody may announce anything.
constexpr size_t kMostFound = 1'000;
/// Of the peers we know, so many are greeted per tick.
constexpr size_t kGreetedPerTick = 8;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

struct LookUp {
  DhtKey key{};
  Discovery::OnFound on_found;
  std::set<Endpoint> told;
  util::CallbackGate gate;
  util::Operation timer;
};

struct Announced {
  uint16_t port = 0;
  unsigned times = 0;
  SteadyTime due;
};

/// Soon again, since the first one may have met tables that were still filling; then at leisure,
/// keys apart from each other.
util::Duration next_announcement(unsigned times, const DhtKey& key) {
  if (times == 1) return seconds(5);
  return std::chrono::minutes(8) + milliseconds(static_cast<int>(key.front()) * 470);
}

struct Known {
  bool stopping = false;
  std::vector<Endpoint> peers;
  std::map<Endpoint, std::vector<Endpoint>> by_name;  ///< what a name stood for last
  size_t greeted = 0;
  size_t dht_nodes = 0;
  std::map<DhtKey, Announced> announced;
  std::list<std::shared_ptr<LookUp>> look_ups;
};

}  // namespace

struct Discovery::State {
  State(DiscoveryOptions options_, OnPeers on_peers_, util::Timers& timers_, util::Metrics& metrics)
      : options(std::move(options_)),
        ours(expand_wildcards(options.listen)),
        on_peers(std::move(on_peers_)),
        timers(timers_),
        nodes_gauge(metrics.gauge("swarmfs_dht_nodes", "Nodes in the DHT's routing tables.")),
        peers_gauge(
            metrics.gauge("swarmfs_listed_peers", "Peers from the configured list and from DNS.")) {
    if (!options.resolve) options.resolve = resolve_name;
  }

  void start_dht() {
    std::vector<Endpoint> listen;
    for (const Endpoint& endpoint : ours) listen.push_back(dht_of(endpoint));
    dht = std::make_unique<Dht>(listen,
                                [this](const DhtKey& key, const auto& found) { tell(key, found); });
  }

  static Endpoint dht_of(const Endpoint& demand_lane) {
    return {demand_lane.address, static_cast<uint16_t>(demand_lane.port + kDhtPortOffset)};
  }

  [[nodiscard]] bool is_ours(const Endpoint& endpoint) const {
    return std::find(ours.begin(), ours.end(), endpoint) != ours.end();
  }

  // The resolver's thread
  void run() {
    while (resolve_all()) {
      auto held = known.lock();
      held.wait_until(changed, now() + options.resolve_every, [&] { return held->stopping; });
      if (held->stopping) return;
    }
  }

  /// False: we are to stop.
  bool resolve_all() {
    for (const Endpoint& peer : options.peers) {
      if (peer.is_literal()) continue;
      std::vector<Endpoint> found;
      for (std::string& address : options.resolve(peer.address))
        found.push_back({std::move(address), peer.port});
      auto held = known.lock();
      if (held->stopping) return false;
      // A name server that is away must not cost us the peers.
      if (!found.empty()) held->by_name[peer] = std::move(found);
    }
    publish();
    return true;
  }

  void publish() {
    std::vector<Endpoint> peers;
    {
      auto held = known.lock();
      for (const Endpoint& peer : options.peers)
        for (const Endpoint& endpoint : peer.is_literal() ? std::vector{peer} : held->by_name[peer])
          if (!is_ours(endpoint)) peers.push_back(endpoint);
      std::sort(peers.begin(), peers.end());
      peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
      held->peers = peers;
    }
    peers_gauge.set(static_cast<double>(peers.size()));
    if (on_peers) on_peers(peers);
    greet();
  }

  // The DHT
  void greet() {
    if (!dht) return;
    std::vector<Endpoint> nodes;
    {
      auto held = known.lock();
      const size_t count = std::min(held->peers.size(), kGreetedPerTick);
      for (size_t i = 0; i < count; ++i)
        nodes.push_back(dht_of(held->peers[held->greeted++ % held->peers.size()]));
    }
    if (!nodes.empty()) dht->meet(nodes);
  }

  void tick() {
    const size_t nodes = dht->nodes();
    nodes_gauge.set(static_cast<double>(nodes));
    bool lonely = false;
    {
      auto held = known.lock();
      // What was announced to nobody is announced afresh.
      if (held->dht_nodes == 0 && nodes > 0)
        for (auto& [key, announced] : held->announced) announced = {announced.port, 0, now()};
      held->dht_nodes = nodes;
      lonely = nodes < std::min(kWellConnected, held->peers.size());
    }
    if (lonely) greet();
    announce_due();
  }

  void announce_due() {
    std::vector<std::pair<DhtKey, uint16_t>> due;
    {
      auto held = known.lock();
      for (auto& [key, announced] : held->announced) {
        if (announced.due > now() || due.size() >= kAnnouncedPerTick) continue;
        announced.due = now() + next_announcement(++announced.times, key);
        due.emplace_back(key, announced.port);
      }
    }
    for (const auto& [key, port] : due) dht->announce(key, port);
  }

  void tell(const DhtKey& key, const std::vector<Endpoint>& found) {
    std::vector<std::shared_ptr<LookUp>> asking;
    {
      auto held = known.lock();
      for (const auto& look_up : held->look_ups)
        if (look_up->key == key) asking.push_back(look_up);
    }
    for (const auto& look_up : asking) {
      look_up->gate.run([&] {
        std::vector<Endpoint> fresh;
        for (const Endpoint& endpoint : found)
          if (look_up->told.size() < kMostFound && !is_ours(endpoint) &&
              look_up->told.insert(endpoint).second)
            fresh.push_back(endpoint);
        if (!fresh.empty()) look_up->on_found(fresh, false);
      });
    }
  }

  void end(const std::shared_ptr<LookUp>& look_up) {
    known.lock()->look_ups.remove(look_up);
    look_up->gate.run([&] { look_up->on_found({}, true); });
  }

  void stop() {
    std::list<std::shared_ptr<LookUp>> asking;
    {
      auto held = known.lock();
      held->stopping = true;
      asking.swap(held->look_ups);
    }
    changed.notify_all();
    if (resolver.joinable()) resolver.join();
    ticking.cancel();
    for (const auto& look_up : asking) {
      look_up->gate.close();
      look_up->timer.cancel();
    }
    dht.reset();
  }

  DiscoveryOptions options;
  const std::vector<Endpoint> ours;
  const OnPeers on_peers;
  util::Timers& timers;
  util::Metrics::Gauge& nodes_gauge;
  util::Metrics::Gauge& peers_gauge;
  util::Sync<Known> known;
  std::condition_variable changed;
  std::unique_ptr<Dht> dht;
  util::Operation ticking;
  std::thread resolver;
};

Discovery::Discovery(DiscoveryOptions options, OnPeers on_peers, util::Timers& timers,
                     util::Metrics& metrics)
    : state_(std::make_shared<State>(std::move(options), std::move(on_peers), timers, metrics)) {
  State& state = *state_;
  if (state.options.dht && !state.ours.empty()) {
    state.start_dht();
    state.ticking = timers.every(seconds(1), [&state] { state.tick(); });
  }
  state.resolver = std::thread([&state] { state.run(); });
}

Discovery::~Discovery() {
  state_->stop();
}

std::vector<Endpoint> Discovery::known() const {
  return state_->known.lock()->peers;
}

void Discovery::announce(const DhtKey& key, uint16_t port) {
  if (!state_->dht) return;
  {
    auto known = state_->known.lock();
    Announced& announced = known->announced[key];
    if (announced.port == port) return;
    announced = {port, 0, now()};
  }
  state_->announce_due();
}

void Discovery::withdraw(const DhtKey& key) {
  state_->known.lock()->announced.erase(key);
}

util::Operation Discovery::look_up(const DhtKey& key, milliseconds timeout, OnFound on_found) {
  auto look_up = std::make_shared<LookUp>();
  look_up->key = key;
  look_up->on_found = std::move(on_found);
  state_->known.lock()->look_ups.push_back(look_up);
  const std::weak_ptr<State> weak_state = state_;
  look_up->timer = state_->timers.after(state_->dht ? timeout : milliseconds(0),
                                        [weak_state, weak = std::weak_ptr(look_up)] {
                                          const auto state = weak_state.lock();
                                          const auto ended = weak.lock();
                                          if (state && ended) state->end(ended);
                                        });
  if (state_->dht) state_->dht->ask(key);
  return util::Operation([weak_state, look_up] {
    look_up->gate.close();
    if (const auto state = weak_state.lock()) {
      state->known.lock()->look_ups.remove(look_up);
      look_up->timer.cancel();
    }
  });
}

size_t Discovery::dht_nodes() const {
  return state_->known.lock()->dht_nodes;
}

}  // namespace swarmfs::swarm
