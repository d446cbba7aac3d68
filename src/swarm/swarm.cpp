// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/swarm.h"

#include <algorithm>
#include <map>
#include <set>

#include "cluster/claim.h"
#include "swarm/bulk_lane.h"
#include "swarm/demand_client.h"
#include "swarm/demand_server.h"
#include "swarm/discovery.h"
#include "swarm/news_rounds.h"
#include "swarm/peer_source.h"
#include "util/log.h"

namespace swarmfs::swarm {

using util::Outcome;
using namespace std::chrono_literals;

namespace {

constexpr auto kLookUp = 100ms;  ///< in the DHT
constexpr std::chrono::milliseconds kSurvey = 1s;
constexpr size_t kLookedOver = 16;  ///< announced layers at once

http::TlsMaterial material(const cluster::Identity& identity) {
  return {identity.certificate_pem(), identity.key_pem(), identity.ca_pem()};
}

std::vector<std::string> texts(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> made;
  for (const auto& endpoint : endpoints) made.push_back(endpoint.to_string());
  return made;
}

/// Of each lane.
BulkRates lane_rates(const SwarmCaps& caps, bool both_lanes) {
  const auto& rates = caps.bulk_rates;
  if (!both_lanes) return rates;
  return {(rates.upload + 1) / 2, (rates.download + 1) / 2, (rates.upload_per_peer + 1) / 2,
          (rates.download_per_peer + 1) / 2};
}

ServeLimits limits(const SwarmCaps& caps, bool both_lanes) {
  const unsigned requests = caps.max_requests;
  ServeLimits made;
  made.requests = requests;
  made.bulk_requests = std::max(1u, requests * 3 / 4);
  made.per_peer = std::max(4u, requests / 4);
  made.bulk_rate = lane_rates(caps, both_lanes).upload;
  made.bulk_rate_per_peer = lane_rates(caps, both_lanes).upload_per_peer;
  return made;
}

BulkOptions bulk_options(const SwarmOptions& options) {
  BulkOptions made{options.listen, lane_rates(options.caps, true), options.zone,
                   options.caps.cross_zone_rate > 0};
  for (auto& endpoint : made.listen) endpoint.port = options.bulk_port;
  return made;
}

DiscoveryOptions discovery_options(const SwarmOptions& options) {
  DiscoveryOptions made;
  made.peers = options.peers;
  made.listen = options.listen;
  made.dht = options.dht;
  return made;
}

}  // namespace

struct Swarm::State {
  State(SwarmOptions chosen, cluster::IdentityKeeper& its_identity, Holdings& its_holdings,
        util::Timers& its_timers, util::Metrics& metrics)
      : options(std::move(chosen)),
        identity(its_identity),
        holdings(its_holdings),
        table(identity.current()->node_id(), clock),
        client(asker(), table),
        source(std::make_unique<PeerSource>(source_options(), client, table, views, its_timers,
                                            metrics)),
        rounds(client, table, views, *registries, holdings, its_timers),
        documents({client, table, views, rounds}, options.zone,
                  [this](const cluster::Claim& claim) {
                    return cluster::verify_claim(claim, *identity.current());
                  }),
        announced_gauge(metrics.gauge("swarmfs_announced_layers",
                                      "Layers that the DHT is told this node has or wants.")) {
    client.set_tls(material(*identity.current()));
    if (options.bulk_port != 0)
      bulk = std::make_unique<BulkLane>(bulk_options(options), holdings, table, views, its_timers,
                                        metrics, material(*identity.current()),
                                        identity.current()->issuer_pem());
    server = std::make_unique<DemandServer>(
        DemandServerOptions{texts(options.listen), options.zone,
                            limits(options.caps, bulk != nullptr), node_id(),
                            [this] { return rounds.registry_words(); }, bulk_port_of(),
                            options.preheats, &traffic, options.link},
        material(*identity.current()), holdings, table, views, metrics);
    discovery = std::make_unique<Discovery>(
        discovery_options(options),
        [this](const std::vector<Endpoint>& peers) { rounds.set_known(peers); }, its_timers,
        metrics);
    changes = identity.on_change([this](const std::shared_ptr<const cluster::Identity>& fresh) {
      client.set_tls(material(*fresh));
      server->set_tls(material(*fresh));
      if (bulk) bulk->set_identity(material(*fresh), fresh->issuer_pem());
      auto all = announced.lock();
      for (auto& [layer, keys] : *all) renew(keys, layer);
    });
    looking_over = its_timers.every(options.look_over, [this] { look_over(); });
  }
  ~State() {
    source.reset();
    looking_over.cancel();
    changes.cancel();
    look_ups.lock()->clear();
    discovery.reset();
    server.reset();
    bulk.reset();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  std::function<std::string()> node_id() {
    return [this] { return identity.current()->node_id(); };
  }
  Asker asker() {
    return {options.zone, options.listen.front().port, node_id(),
            [this](const std::string& repository) { return holdings.access(repository); }};
  }
  std::function<uint16_t(const util::Digest&, const std::string&, const std::string&)>
  bulk_port_of() {
    if (!bulk) return {};
    return [this](const util::Digest& layer, const std::string& address, const std::string& zone) {
      return bulk->asked(layer, address, zone);
    };
  }
  PeerSourceOptions source_options() {
    const auto rates = lane_rates(options.caps, options.bulk_port != 0);
    return {options.zone,
            node_id(),
            options.provisional,
            options.caps.cross_zone_rate,
            [this](const chunk::LayerRef& layer) { look_for(layer); },
            &traffic,
            rates.download,
            rates.download_per_peer,
            options.link};
  }

  /// Under every secret that somebody may look with: during a rotation not all have the new one.
  void announce(const util::Digest& layer) {
    auto all = announced.lock();
    renew((*all)[layer], layer);
    announced_gauge.set(static_cast<double>(all->size()));
  }
  void look_over() {
    for (const auto& layer : next_announced())
      if (!has_some(layer)) withdraw_unless_wanted(layer);
  }
  std::vector<util::Digest> next_announced() {
    auto all = announced.lock();
    std::vector<util::Digest> some;
    auto next = all->upper_bound(looked_at);
    while (some.size() < std::min(kLookedOver, all->size())) {
      if (next == all->end()) next = all->begin();
      some.push_back((next++)->first);
    }
    if (!some.empty()) looked_at = some.back();
    return some;
  }
  bool has_some(const util::Digest& layer) {
    try {
      const auto held = holdings.held(layer);
      return held && !held->presence.empty();
    } catch (const std::exception& error) {  // of the disk; it may have it
      util::log::debug("swarm: layer {}: {}", layer.short_hex(), error.what());
      return true;
    }
  }
  void withdraw_unless_wanted(const util::Digest& layer) {
    auto all = announced.lock();
    const auto found = all->find(layer);
    if (found == all->end() || views.find(layer)) return;
    for (const auto& key : found->second) discovery->withdraw(key);
    all->erase(found);
    announced_gauge.set(static_cast<double>(all->size()));
  }
  void renew(std::set<DhtKey>& keys, const util::Digest& layer) {
    std::set<DhtKey> fresh;
    for (const auto& secret : identity.current()->secrets()) fresh.insert(dht_key(secret, layer));
    for (const auto& key : keys)
      if (!fresh.contains(key)) discovery->withdraw(key);
    for (const auto& key : fresh) discovery->announce(key, options.listen.front().port);
    keys = std::move(fresh);
  }

  void look_for(const chunk::LayerRef& layer) {
    rounds.begin();
    const auto digest = layer.digest;
    announce(digest);
    const auto secrets = identity.current()->secrets();
    std::vector<util::Operation> started;
    for (const auto& secret : secrets)
      started.push_back(discovery->look_up(dht_key(secret, digest), kLookUp,
                                           [this, digest](const auto& found, bool) {
                                             table.add(found);
                                             for (const auto& endpoint : found)
                                               views.may_have(digest, endpoint);
                                             if (!found.empty()) rounds.soon();
                                           }));
    std::swap((*look_ups.lock())[digest], started);
  }

  void interest(const chunk::LayerRef& layer) {
    if (views.interest(layer, std::chrono::steady_clock::now())) look_for(layer);
  }

  LayerSwarm swarm_of(const chunk::LayerRef& layer, std::vector<SurveyedMember> members) const {
    const auto now = std::chrono::steady_clock::now();
    LayerSwarm made{layer, 0, std::move(members), {}, traffic.of(layer.digest, now), {}};
    std::vector<BlockSet> all{held_blocks(layer)};
    made.blocks = all.front().count();
    for (const auto& member : made.members) all.push_back(member.blocks);
    made.copies = count_copies(all, layer.size);
    if (!bulk) return made;
    made.bulk_peers = bulk->peers(layer.digest);
    const auto rates = bulk->rates(layer.digest);
    made.rates.received += rates.received;
    made.rates.given += rates.given;
    return made;
  }
  BlockSet held_blocks(const chunk::LayerRef& layer) const {
    BlockSet made(chunk::block_count(layer.size));
    try {
      if (!holdings.is_stored(layer.digest)) return made;
      const auto held = holdings.held(layer.digest);
      if (held && held->size == layer.size)
        for (const auto& blocks : held->presence) made.add(blocks);
    } catch (const std::exception& error) {  // of the disk
      util::log::debug("swarm: layer {}: {}", layer.digest.short_hex(), error.what());
    }
    return made;
  }

  const SwarmOptions options;
  cluster::IdentityKeeper& identity;
  Holdings& holdings;
  util::SteadyClock clock;
  PeerTable table;       // needs clock
  LayerViews views;      // needs nothing
  LayerTraffic traffic;  // needs nothing
  const std::shared_ptr<RegistryViews> registries = std::make_shared<RegistryViews>();
  DemandClient client;                 // needs table
  std::unique_ptr<PeerSource> source;  // needs client, table, views; calls look_for()
  NewsRounds rounds;                   // needs client, table, views
  DocumentSearch documents;            // needs client, table, views, rounds, identity
  util::Sync<std::map<util::Digest, std::vector<util::Operation>>> look_ups;
  std::unique_ptr<BulkLane> bulk;        // needs holdings, table, views; null: no such exchange
  std::unique_ptr<DemandServer> server;  // needs table, views, bulk
  util::Sync<std::map<util::Digest, std::set<DhtKey>>> announced;
  std::unique_ptr<Discovery> discovery;  // needs table, rounds
  util::Operation changes;               // needs client, server, discovery
  util::Metrics::Gauge& announced_gauge;
  util::Digest looked_at;        ///< of the timers' thread
  util::Operation looking_over;  // needs holdings, views, discovery
};

Swarm::Swarm(SwarmOptions options, cluster::IdentityKeeper& identity, Holdings& holdings,
             util::Timers& timers, util::Metrics& metrics)
    : state_(std::make_unique<State>(std::move(options), identity, holdings, timers, metrics)) {}
Swarm::~Swarm() = default;

void Swarm::set_caps(const SwarmCaps& caps) {
  state_->source->set_cross_zone_rate(caps.cross_zone_rate);
  const auto rates = lane_rates(caps, state_->bulk != nullptr);
  state_->source->set_download_rates(rates.download, rates.download_per_peer);
  state_->server->set_limits(limits(caps, state_->bulk != nullptr));
  if (!state_->bulk) return;
  state_->bulk->set_rates(rates);
  state_->bulk->set_same_zone(caps.cross_zone_rate > 0);
}

chunk::Source& Swarm::source() {
  return *state_->source;
}

chunk::Source* Swarm::bulk_source() {
  return state_->bulk ? &state_->bulk->source() : nullptr;
}

uint64_t Swarm::share_length(const chunk::LayerRef& layer, util::ByteRange range) const {
  return state_->source->share_length(layer, range);
}

void Swarm::interest(const chunk::LayerRef& layer) {
  state_->interest(layer);
}

std::optional<ClaimedLayer> Swarm::find_claim(const chunk::LayerRef& layer) {
  state_->interest(layer);
  state_->rounds.soon();
  return state_->documents.find_claim(layer);
}

std::optional<ClaimedLayer> Swarm::find_claim_soon(const chunk::LayerRef& layer,
                                                   util::SteadyTime until) {
  state_->interest(layer);
  return state_->documents.find_claim_soon(layer, until);
}

void Swarm::stop_waiting() {
  state_->client.stop_waiting();
  state_->rounds.stop_waiting();
}

void Swarm::announce(const util::Digest& layer) {
  state_->announce(layer);
}

std::string Swarm::sign(const util::Digest& layer, uint64_t size, const util::Digest& root,
                        const util::Digest& index) {
  return cluster::make_claim(*state_->identity.current(), layer, size, root, index).to_json();
}

void Swarm::blame(const std::string& node_id, const util::Digest& layer, const std::string& why) {
  const std::string reason = "layer " + layer.short_hex() + ": " + why;
  util::log::error("node {} is banned: {}", node_id, reason);
  state_->table.pardon(layer);
  if (state_->bulk) state_->bulk->pardon(layer);
  state_->table.ban_node(node_id, reason);
}

std::optional<GivenManifest> Swarm::find_manifest(const std::string& reference,
                                                  const std::optional<util::Digest>& digest,
                                                  const std::string& platform,
                                                  util::SteadyTime until) {
  return state_->documents.find_manifest(reference, digest, platform, until);
}

std::optional<std::string> Swarm::find_profile(const util::Digest& manifest,
                                               const std::string& repository) {
  return state_->documents.find_profile(manifest, repository);
}

std::unique_ptr<PreheatRun> Swarm::preheat(PreheatPlan plan, Preheats& own) {
  return std::make_unique<PreheatRun>(std::move(plan), state_->identity.current()->node_id(),
                                      state_->client, own);
}

std::shared_ptr<const RegistryViews> Swarm::registries() const {
  return state_->registries;
}

std::vector<Peer> Swarm::peers() const {
  return state_->table.list();
}

std::vector<LayerViews::Member> Swarm::members(const util::Digest& layer) const {
  return state_->views.members(layer, {}, std::chrono::steady_clock::now());
}

std::vector<chunk::LayerRef> Swarm::interesting() const {
  return state_->views.interesting(std::chrono::steady_clock::now());
}

SwarmsView Swarm::look(const std::vector<chunk::LayerRef>& layers) const {
  auto found = survey(state_->client, state_->table, state_->options.zone, layers, kSurvey);
  SwarmsView made{found.known, found.asked, found.answered, {}};
  for (const auto& layer : layers)
    made.layers.push_back(state_->swarm_of(layer, std::move(found.members[layer.digest])));
  return made;
}

size_t Swarm::dht_nodes() const {
  return state_->discovery->dht_nodes();
}

bool Swarm::has_peers() const {
  return !state_->table.candidates(0).empty();
}

}  // namespace swarmfs::swarm
