// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/layer_views.h"

#include <algorithm>
#include <iterator>

namespace swarmfs::swarm {

namespace {

constexpr std::chrono::minutes kInteresting{1};
constexpr size_t kMostCandidates = 256;  ///< of one layer
constexpr size_t kMostOrigins = 8;
constexpr size_t kMostWatched = 64;  ///< chunks on their way at one peer

uint64_t chunk_blocks(uint64_t layer_size) {
  return chunk::chunk_size(layer_size) / chunk::kBlockSize;
}

std::vector<uint64_t> coming_chunks(const LayerNews& news) {
  const uint64_t blocks = chunk_blocks(news.size);
  std::vector<uint64_t> made;
  for (const auto& coming : news.coming)
    for (uint64_t at = coming.first / blocks; at * blocks < coming.end(); ++at) {
      if (made.size() >= kMostWatched) return made;
      made.push_back(at);
    }
  return made;
}

}  // namespace

std::vector<std::string> repositories_of(const chunk::LayerRef& layer) {
  std::vector<std::string> made;
  for (const auto& origin : layer.origins) made.push_back(origin.name());
  return made;
}

std::string name_to_ask_in(const chunk::LayerRef& layer, const std::string& known) {
  const auto own = repositories_of(layer);
  const bool is_own = std::find(own.begin(), own.end(), known) != own.end();
  return own.empty() || is_own ? known : own.front();
}

bool LayerViews::interest(const chunk::LayerRef& layer, util::SteadyTime now) {
  auto views = views_.lock();
  const auto [place, fresh] = views->try_emplace(layer.digest);
  auto& view = place->second;
  if (fresh) view.ref = layer;
  auto& origins = view.ref.origins;
  for (const auto& origin : layer.origins)
    if (std::find(origins.begin(), origins.end(), origin) == origins.end() &&
        origins.size() < kMostOrigins)
      origins.push_back(origin);
  view.until = now + kInteresting;
  return fresh;
}

void LayerViews::renew(const util::Digest& layer, util::SteadyTime now) {
  auto views = views_.lock();
  if (const auto view = views->find(layer); view != views->end())
    view->second.until = now + kInteresting;
}

void LayerViews::may_have(const util::Digest& layer, const Endpoint& peer) {
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view != views->end() && view->second.candidates.size() < kMostCandidates &&
      !view->second.peers.contains(peer))
    view->second.candidates.try_emplace(peer, 1);
}

bool LayerViews::named(const util::Digest& layer, const std::string& node_id,
                       const Endpoint& peer) {
  auto views = views_.lock();
  const auto found = views->find(layer);
  if (found == views->end() || found->second.peers.contains(peer)) return false;
  auto& view = found->second;
  const uint64_t weight = shareholder_weight(layer, node_id);
  std::vector<uint64_t> weights;
  for (const auto& [endpoint, known] : view.peers) weights.push_back(known.share_weight());
  const bool room = view.candidates.size() < kMostCandidates || view.candidates.contains(peer);
  if (!room || !outweighs(weights, weight)) return false;
  view.candidates[peer] = weight;
  return true;
}

bool LayerViews::View::holds(const Endpoint& peer, const LayerNews& news,
                             chunk::BlockRange blocks) const {
  const uint64_t each = chunk_blocks(ref.size), end = (blocks.end() + each - 1) / each;
  return news.blocks.has(blocks) &&
         (news.has_here(blocks) || !coming.is_late(peer, blocks.first / each, end));
}

void LayerViews::View::heard_coming(const Endpoint& peer, const LayerNews& news,
                                    util::SteadyTime now) {
  const uint64_t each = chunk_blocks(ref.size), count = chunk::block_count(ref.size);
  const auto is_here = [&](uint64_t at) {
    return news.has_here({at * each, std::min(each, count - at * each)});
  };
  coming.told(peer, coming_chunks(news), is_here, now);
}

LayerViews::PeerView& LayerViews::View::remember(const Endpoint& peer, std::string_view node_id) {
  candidates.erase(peer);
  if (peers.size() >= kMostPeers && !peers.contains(peer)) make_room();
  PeerView& view = peers[peer];
  if (view.node_id != node_id && !node_id.empty()) {
    view.node_id = node_id;
    view.weight = shareholder_weight(ref.digest, node_id);
  }
  return view;
}

void LayerViews::View::make_room() {
  std::vector<Remembered> all;
  for (const auto& [endpoint, peer] : peers) all.push_back({peer.share_weight(), peer.last()});
  const auto forgotten = std::next(peers.begin(), static_cast<ptrdiff_t>(whom_to_forget(all)));
  coming.gone(forgotten->first);
  peers.erase(forgotten);
}

void LayerViews::heard(const Endpoint& peer, const std::string& repository,
                       const std::vector<util::Digest>& asked, const News& news,
                       util::SteadyTime now, std::string_view node_id) {
  auto views = views_.lock();
  for (const auto& digest : asked) {
    const auto view = views->find(digest);
    if (view == views->end()) continue;
    auto& said = view->second.remember(peer, node_id);
    const auto layer = news.layers.find(digest);
    const bool fits = layer != news.layers.end() && layer->second.size == view->second.ref.size;
    const bool known_elsewhere =
        said.news.size > 0 && said.repository != repository && said.heard + kBelieved >= now;
    if (!fits && known_elsewhere) continue;
    said.repository = repository;
    said.news = fits ? layer->second : LayerNews{};
    if (fits)
      view->second.heard_coming(peer, said.news, now);
    else
      view->second.coming.gone(peer);
    said.held = said.news.blocks.count();
    said.wants = fits && layer->second.wants;
    said.full = news.full;
    said.link = news.link;
    said.heard = now;
  }
}

void LayerViews::wanted_by(const Endpoint& peer, const util::Digest& layer, util::SteadyTime now,
                           std::string_view node_id) {
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return;
  auto& asker = view->second.remember(peer, node_id);
  asker.wants = true;
  asker.asked = now;
}

void LayerViews::holds(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks) {
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return;
  const auto known = view->second.peers.find(peer);
  if (known == view->second.peers.end()) return;  // whom we never heard of is not asked on hearsay
  auto& news = known->second.news;
  const uint64_t count = chunk::block_count(view->second.ref.size);
  if (news.blocks.size() != count) news.blocks = BlockSet(count);
  if (blocks.end() <= count) news.blocks.add(blocks);
  known->second.held = news.blocks.count();
}

void LayerViews::lacks(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks) {
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return;
  const auto known = view->second.peers.find(peer);
  if (known == view->second.peers.end()) return;
  known->second.news.blocks.remove(blocks);
  known->second.held = known->second.news.blocks.count();
}

void LayerViews::full(const Endpoint& peer) {
  auto views = views_.lock();
  for (auto& [digest, view] : *views)
    if (const auto known = view.peers.find(peer); known != view.peers.end())
      known->second.full = true;
}

void LayerViews::gone(const Endpoint& peer) {
  auto views = views_.lock();
  for (auto& [digest, view] : *views) {
    view.peers.erase(peer);
    view.coming.gone(peer);
    view.candidates.erase(peer);
  }
}

std::vector<LayerViews::Member> LayerViews::members(const util::Digest& layer,
                                                    chunk::BlockRange blocks,
                                                    util::SteadyTime now) const {
  std::vector<Member> found;
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return found;
  const auto& origins = view->second.ref.origins;
  const std::string usual = origins.empty() ? std::string() : origins.front().name();
  for (const auto& [endpoint, peer] : view->second.peers) {
    if (peer.last() + kBelieved < now) continue;
    if (!peer.wants && !peer.news.sealed && peer.held == 0) continue;
    const bool holds = view->second.holds(endpoint, peer.news, blocks);
    found.push_back({endpoint, holds, holds && !peer.news.has_here(blocks), peer.wants,
                     peer.news.sealed, peer.held, peer.news.size > 0 ? peer.repository : usual,
                     peer.news.bulk_port, peer.full, peer.link});
  }
  return found;
}

ChunkCopies LayerViews::copies(const util::Digest& layer, chunk::BlockRange blocks,
                               util::SteadyTime now) const {
  ChunkCopies made;
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return made;
  for (const auto& [endpoint, peer] : view->second.peers) {
    if (peer.last() + kBelieved < now) continue;
    made.wanting += peer.wants ? 1 : 0;
    if (!peer.news.has_here(blocks)) continue;
    ++(peer.wants ? made.of_wanting : made.of_others);
    made.full += peer.full ? 1 : 0;
  }
  return made;
}

std::set<Endpoint> LayerViews::heard_from(const util::Digest& layer) const {
  std::set<Endpoint> found;
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return found;
  for (const auto& [endpoint, peer] : view->second.peers)
    if (peer.heard != util::SteadyTime{}) found.insert(endpoint);
  return found;
}

std::optional<chunk::LayerRef> LayerViews::find(const util::Digest& layer) const {
  auto views = views_.lock();
  const auto view = views->find(layer);
  return view == views->end() ? std::nullopt : std::optional(view->second.ref);
}

std::vector<chunk::LayerRef> LayerViews::interesting(util::SteadyTime now) {
  std::vector<chunk::LayerRef> found;
  auto views = views_.lock();
  std::erase_if(*views, [&](const auto& one) { return one.second.until < now; });
  for (const auto& [digest, view] : *views) found.push_back(view.ref);
  return found;
}

std::map<Endpoint, NewsPeer> LayerViews::to_ask(const util::Digest& layer) const {
  std::map<Endpoint, NewsPeer> found;
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return found;
  for (const auto& [endpoint, weight] : view->second.candidates) found[endpoint] = {weight, true};
  for (const auto& [endpoint, peer] : view->second.peers)
    found[endpoint] = {peer.share_weight(), false};
  return found;
}

std::map<std::string, Endpoint> LayerViews::shareholders_of(const util::Digest& layer,
                                                            util::SteadyTime now) const {
  std::map<std::string, Endpoint> found;
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return found;
  std::vector<std::pair<const Endpoint*, const PeerView*>> members;
  std::vector<uint64_t> weights;
  for (const auto& [endpoint, peer] : view->second.peers) {
    if (peer.last() + kBelieved < now || !peer.exchanges()) continue;
    members.emplace_back(&endpoint, &peer);
    weights.push_back(peer.weight);
  }
  for (const size_t i : shareholders(weights))
    found.emplace(members[i].second->node_id, *members[i].first);
  return found;
}

}  // namespace swarmfs::swarm
