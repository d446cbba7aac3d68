// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/peer_source.h"

#include <algorithm>

#include "swarm/peer_transfer.h"
#include "util/log.h"

namespace swarmfs::swarm {

using util::ByteRange;

namespace {

constexpr size_t kMostBarred = 4096;
constexpr size_t kMostWithoutWindows = 4096;
constexpr std::chrono::seconds kWithoutWindows{30};  ///< they may have come meanwhile

/// As Transfer::supplier() names it.
std::optional<Endpoint> endpoint_of(const std::string& supplier) {
  return Endpoint::parse(supplier.substr(0, supplier.find(' ')));
}

/// The part of `range` that lies in its first chunk.
ByteRange in_chunk(const chunk::LayerRef& layer, ByteRange range) {
  const uint64_t size = chunk::chunk_size(layer.size);
  return {range.offset, std::min(range.length, size - range.offset % size)};
}

}  // namespace

PeerSource::State::State(PeerSourceOptions chosen, DemandClient& its_client, PeerTable& its_table,
                         LayerViews& its_views, util::Timers& its_timers, util::Metrics& metrics)
    : options(std::move(chosen)),
      client(its_client),
      table(its_table),
      views(its_views),
      timers(its_timers),
      cross_zone(util::TokenBucket(static_cast<double>(options.cross_zone_rate),
                                   std::chrono::steady_clock::now())),
      download(options.download_rate, options.download_rate_per_peer) {
  for (const bool same : {false, true})
    from_zone[same] = &metrics.counter("swarmfs_peer_bytes_total", "Bytes that other nodes gave",
                                       {{"zone", same ? "same" : "other"}});
}

PeerSource::State::Route PeerSource::State::route(const chunk::LayerRef& layer, ByteRange range,
                                                  chunk::Class cls, bool spare) const {
  Route made;
  const auto now = std::chrono::steady_clock::now();
  const auto members = suppliers(layer, range);
  if (members.empty()) return made;
  std::map<Endpoint, const LayerViews::Member*> by_endpoint;
  for (const auto& member : members) by_endpoint.emplace(member.endpoint, &member);
  Question question;
  std::vector<bool> holds;
  for (auto& candidate : table.candidates(range.length)) {
    const auto member = by_endpoint.find(candidate.endpoint);
    if (member == by_endpoint.end()) continue;
    if (member->second->holds) question.holders.push_back(made.peers.size());
    made.wanting += member->second->wants;
    holds.push_back(member->second->holds);
    candidate.full = member->second->full;
    candidate.wants = member->second->wants;
    candidate.coming = member->second->coming;
    candidate.link = static_cast<double>(member->second->link);
    made.repositories.push_back(name_to_ask_in(layer, member->second->repository));
    made.peers.push_back(std::move(candidate));
  }
  question.layer = layer.digest;
  question.chunk = range.offset / chunk::chunk_size(layer.size);
  question.cls = cls;
  question.self = options.node_id();
  question.zone = options.zone;
  question.link = options.link->known(now);
  question.peers = made.peers;
  question.registry = table.registry();
  question.spare = spare;
  question.cross_zone = cross_zone.lock()->open(now);
  // Where nobody has it, steps() says so by naming nobody.
  const bool scarce = cls != chunk::Class::fault && is_scarce(question);
  made.ours = scarce && is_ours(question);
  made.theirs = scarce && !made.ours;
  for (const auto& step : steps(question)) {
    if (!step.peer) break;
    const bool its = holds[*step.peer];
    made.steps.push_back({*step.peer, step.hedge, its, its && !made.peers[*step.peer].coming});
  }
  return made;
}

std::vector<LayerViews::Member> PeerSource::State::suppliers(const chunk::LayerRef& layer,
                                                             ByteRange range) const {
  const auto now = std::chrono::steady_clock::now();
  if (layer.form != chunk::Form::windows) {
    auto members = views.members(layer.digest, chunk::blocks_covering(range), now);
    auto out = barred.lock();
    std::erase_if(members, [&](const auto& member) {
      return !member.exchanges() || out->contains({layer.digest, member.endpoint});
    });
    return members;
  }
  auto members = views.members(layer.of, {}, now);
  auto without = without_windows.lock();
  std::erase_if(members, [&](auto& member) {
    member.holds = member.sealed;
    const auto lacking = without->find({member.endpoint, layer.digest});
    return !member.sealed || (lacking != without->end() && now < lacking->second + kWithoutWindows);
  });
  return members;
}

void PeerSource::State::lacks(const Endpoint& peer, const chunk::LayerRef& layer, ByteRange range) {
  if (layer.form != chunk::Form::windows)
    return views.lacks(peer, layer.digest, chunk::blocks_covering(range));
  auto without = without_windows.lock();
  if (without->size() >= kMostWithoutWindows) without->clear();
  without->insert_or_assign({peer, layer.digest}, std::chrono::steady_clock::now());
}

void PeerSource::State::later(util::Duration delay, std::function<void()> callback) {
  timers.post(delay, [weak = weak_from_this(), callback = std::move(callback)] {
    if (const auto self = weak.lock()) self->gate.run(callback);
  });
}

PeerSource::PeerSource(PeerSourceOptions options, DemandClient& client, PeerTable& table,
                       LayerViews& views, util::Timers& timers, util::Metrics& metrics)
    : state_(std::make_shared<State>(std::move(options), client, table, views, timers, metrics)) {}

PeerSource::~PeerSource() {
  state_->gate.close();
}

std::optional<chunk::Plan> PeerSource::plan(const chunk::LayerRef& layer, ByteRange range,
                                            const chunk::FetchContext& context) {
  if (context.for_peer || (!context.sealed && !state_->options.provisional)) return std::nullopt;
  const auto now = std::chrono::steady_clock::now();
  if (layer.form == chunk::Form::windows)
    state_->views.renew(layer.of, now);
  else if (state_->views.interest(layer, now))
    state_->later({}, [state = state_.get(), layer] { state->options.on_fresh(layer); });
  const ByteRange part = in_chunk(layer, range);
  const auto route = state_->route(layer, part, context.cls, context.spare);
  if (route.steps.empty()) return std::nullopt;
  const auto& first = route.steps.front();
  const bool coming = first.holds && !first.here;
  chunk::Plan plan{
      .length = std::min(part.length, most_at_once(context.cls, coming, route.wanting)),
      .hedge = {},
      .ours = route.ours,
      .theirs = route.theirs};
  for (const auto& step : route.steps) {
    plan.hedge = step.hedge == util::Duration::max() ? step.hedge : plan.hedge + step.hedge;
    if (step.hedge == util::Duration::max()) break;
  }
  const auto patience = patience_with_peers(context.cls, plan.hedge, route.wanting);
  plan.hedge = patience.lasts;
  plan.in_turns = patience.in_turns;
  return plan;
}

bool PeerSource::has(const chunk::LayerRef& layer, ByteRange range) {
  if (layer.form == chunk::Form::windows) return true;
  const auto blocks = chunk::blocks_covering(in_chunk(layer, range));
  return is_to_be_had(state_->views.copies(layer.digest, blocks, std::chrono::steady_clock::now()));
}

size_t PeerSource::wanting(const chunk::LayerRef& layer) {
  if (layer.form == chunk::Form::windows) return 0;
  return state_->views.copies(layer.digest, {}, std::chrono::steady_clock::now()).wanting;
}

std::unique_ptr<chunk::Transfer> PeerSource::fetch(const chunk::LayerRef& layer, ByteRange range,
                                                   const chunk::FetchContext& context,
                                                   OnData on_data, OnDone on_done) {
  auto made = std::make_shared<PeerTransfer>(
      state_, PeerTransfer::Order{layer, range, context, std::move(on_data), std::move(on_done)},
      state_->route(layer, range, context.cls));
  made->start();
  return std::make_unique<PeerTransfer::Handle>(std::move(made));
}

void PeerSource::blame(const chunk::LayerRef& layer, const std::string& supplier,
                       const std::string& why) {
  const auto endpoint = endpoint_of(supplier);
  if (!endpoint) return;
  util::log::error("peer {} is banned: layer {}: {}", supplier, layer.layer().short_hex(), why);
  state_->table.ban(*endpoint, why, layer.layer());
  state_->views.gone(*endpoint);
}

void PeerSource::bar(const chunk::LayerRef& layer, const std::string& supplier,
                     const std::string& claimant) {
  const auto endpoint = endpoint_of(supplier);
  if (!endpoint) return;
  const auto peer = state_->table.find(*endpoint);
  if (peer && peer->node_id == claimant)
    return blame(layer, supplier, "its bytes contradict its own claim");
  auto barred = state_->barred.lock();
  if (barred->size() >= kMostBarred) barred->clear();
  barred->emplace(layer.digest, *endpoint);
}

void PeerSource::unbar(const chunk::LayerRef& layer) {
  std::erase_if(*state_->barred.lock(), [&](const auto& one) { return one.first == layer.digest; });
}

void PeerSource::set_cross_zone_rate(uint64_t rate) {
  state_->cross_zone.lock()->set_rate(static_cast<double>(rate), std::chrono::steady_clock::now());
}

void PeerSource::set_download_rates(uint64_t rate, uint64_t rate_per_peer) {
  state_->download.set_rates(rate, rate_per_peer);
}

uint64_t PeerSource::share_length(const chunk::LayerRef& layer, ByteRange range) const {
  const auto members = state_->views.members(layer.digest, {}, std::chrono::steady_clock::now());
  const bool shared = std::any_of(members.begin(), members.end(),
                                  [](const auto& member) { return member.exchanges(); });
  return shared ? in_chunk(layer, range).length : range.length;
}

}  // namespace swarmfs::swarm
