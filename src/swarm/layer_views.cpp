// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/layer_views.h"

#include <algorithm>

namespace swarmfs::swarm {

namespace {

constexpr std::chrono::minutes kInteresting{1};
constexpr size_t kMostPeers = 256;  ///< of one layer
constexpr size_t kMostOrigins = 8;

std::string repository_of(const chunk::Origin& origin) {
  return origin.registry + "/" + origin.repository;
}

}  // namespace

std::vector<std::string> repositories_of(const chunk::LayerRef& layer) {
  std::vector<std::string> made;
  for (const auto& origin : layer.origins) made.push_back(repository_of(origin));
  return made;
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
  if (view != views->end() && view->second.candidates.size() < kMostPeers)
    view->second.candidates.insert(peer);
}

void LayerViews::heard(const Endpoint& peer, const std::string& repository,
                       const std::vector<util::Digest>& asked, const News& news,
                       util::SteadyTime now) {
  auto views = views_.lock();
  for (const auto& digest : asked) {
    const auto view = views->find(digest);
    if (view == views->end()) continue;
    auto& peers = view->second.peers;
    if (peers.size() >= kMostPeers && !peers.contains(peer)) continue;
    auto& said = peers[peer];
    const auto layer = news.layers.find(digest);
    const bool fits = layer != news.layers.end() && layer->second.size == view->second.ref.size;
    const bool known_elsewhere =
        said.news.size > 0 && said.repository != repository && said.heard + kBelieved >= now;
    if (!fits && known_elsewhere) continue;
    said.repository = repository;
    said.news = fits ? layer->second : LayerNews{};
    said.wants = fits && layer->second.wants;
    said.heard = now;
  }
}

void LayerViews::wanted_by(const Endpoint& peer, const util::Digest& layer, util::SteadyTime now) {
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return;
  auto& peers = view->second.peers;
  if (peers.size() >= kMostPeers && !peers.contains(peer)) return;
  peers[peer].wants = true;
  peers[peer].asked = now;
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
}

void LayerViews::lacks(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks) {
  auto views = views_.lock();
  const auto view = views->find(layer);
  if (view == views->end()) return;
  const auto known = view->second.peers.find(peer);
  if (known != view->second.peers.end()) known->second.news.blocks.remove(blocks);
}

void LayerViews::gone(const Endpoint& peer) {
  auto views = views_.lock();
  for (auto& [digest, view] : *views) {
    view.peers.erase(peer);
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
  const std::string usual = origins.empty() ? std::string() : repository_of(origins.front());
  for (const auto& [endpoint, peer] : view->second.peers) {
    if (std::max(peer.heard, peer.asked) + kBelieved < now) continue;
    const uint64_t count = peer.news.blocks.count();
    if (!peer.wants && !peer.news.sealed && count == 0) continue;
    found.push_back({endpoint, peer.news.blocks.has(blocks), peer.wants, peer.news.sealed, count,
                     peer.news.size > 0 ? peer.repository : usual});
  }
  return found;
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

std::set<Endpoint> LayerViews::candidates(const util::Digest& layer) const {
  auto views = views_.lock();
  const auto view = views->find(layer);
  return view == views->end() ? std::set<Endpoint>{} : view->second.candidates;
}

}  // namespace swarmfs::swarm
