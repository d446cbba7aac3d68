// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "crowd_views.h"

#include <algorithm>
#include <utility>

#include "swarm/layer_views.h"

namespace swarmfs::swarm {
namespace {

constexpr size_t kMostUnmet = 512;
constexpr util::Duration kUnmeasured = std::chrono::milliseconds(25);

void smooth(util::Duration& mean, util::Duration sample) {
  mean = mean == util::Duration() ? sample : mean + (sample - mean) / 5;
}

}  // namespace

bool CrowdViews::is_known(uint32_t peer) const {
  return peer == self_.index || (peer < known_.size() && known_[peer]);
}

void CrowdViews::know(uint32_t peer) {
  if (is_known(peer) || unmet_.size() >= kMostUnmet) return;
  if (known_.size() <= peer) known_.resize(peer + 1);
  known_[peer] = true;
  unmet_.push_back(peer);
}

CrowdViews::View& CrowdViews::view_of(const Self& peer, util::SteadyTime now) {
  if (const auto place = places_.find(peer.index); place != places_.end()) {
    views_[place->second].heard = now;
    return views_[place->second];
  }
  if (views_.size() >= LayerViews::kMostPeers) {
    std::vector<Remembered> all;
    for (const View& view : views_) all.push_back({view.weight, view.heard});
    drop(whom_to_forget(all));
  }
  if (is_known(peer.index)) std::erase(unmet_, peer.index);
  named_.erase(peer.index);
  if (known_.size() <= peer.index) known_.resize(peer.index + 1);
  known_[peer.index] = true;
  places_[peer.index] = views_.size();
  Candidate candidate;
  candidate.endpoint = {std::to_string(peer.index), 1};
  candidate.node_id = peer.id;
  candidate.zone = peer.zone;
  candidate.expected = kUnmeasured;
  candidates_.push_back(std::move(candidate));
  views_.push_back({peer.index, peer.weight, now, {}, {{}, std::vector<bool>(chunks_)}});
  return views_.back();
}

void CrowdViews::drop(size_t place) {
  coming_.gone(views_[place].peer);
  known_[views_[place].peer] = false;
  places_.erase(views_[place].peer);
  if (place + 1 < views_.size()) {
    views_[place] = std::move(views_.back());
    candidates_[place] = std::move(candidates_.back());
    places_[views_[place].peer] = place;
  }
  views_.pop_back();
  candidates_.pop_back();
}

void CrowdViews::may_have(uint32_t peer) {
  know(peer);
  if (is_known(peer) && !places_.contains(peer)) named_.try_emplace(peer, 1);
}

void CrowdViews::wanted_by(const Self& peer, util::SteadyTime now) {
  view_of(peer, now).told.wants = true;
}

void CrowdViews::heard(const Self& peer, Told told, const Named& shareholders,
                       util::SteadyTime now) {
  std::vector<uint64_t> coming;
  for (uint32_t chunk = 0; chunk < chunks_; ++chunk)
    if (told.has[chunk] && !told.here[chunk]) coming.push_back(chunk);
  const auto is_here = [&](uint64_t chunk) { return told.here[chunk]; };
  coming_.told(peer.index, coming, is_here, now);
  view_of(peer, now).told = std::move(told);
  renew_owners();
  for (const auto& [named, weight] : shareholders) {
    if (weight <= lightest_ || named == self_.index || places_.contains(named)) continue;
    know(named);
    if (is_known(named)) named_[named] = weight;
  }
}

void CrowdViews::named_holder(uint32_t peer, uint32_t chunk) {
  if (const auto place = places_.find(peer); place != places_.end())
    views_[place->second].told.has[chunk] = true;
}

void CrowdViews::forget(uint32_t peer) {
  if (const auto place = places_.find(peer); place != places_.end()) return drop(place->second);
  if (is_known(peer)) known_[peer] = false;
  std::erase(unmet_, peer);
  named_.erase(peer);
}

std::vector<uint32_t> CrowdViews::whom_to_ask(uint64_t turn) {
  owners_old_ = true;
  std::vector<NewsPeer> peers;
  for (const View& view : views_) peers.push_back({view.weight, false});
  for (const uint32_t peer : unmet_) {
    const auto named = named_.find(peer);
    peers.push_back({named == named_.end() ? 0 : named->second, named != named_.end()});
  }
  std::vector<uint32_t> made;
  for (const size_t i : swarm::whom_to_ask(peers, turn))
    made.push_back(i < views_.size() ? views_[i].peer : unmet_[i - views_.size()]);
  return made;
}

const CrowdViews::Named& CrowdViews::owners() {
  renew_owners();
  return owners_;
}

void CrowdViews::renew_owners() {
  if (!std::exchange(owners_old_, false)) return;
  std::vector<uint64_t> weights;
  for (const View& view : views_) weights.push_back(view.weight);
  owners_.clear();
  for (const size_t i : shareholders(weights)) owners_.emplace_back(views_[i].peer, weights[i]);
  lightest_ = owners_.size() < kMostShareholders ? 0 : owners_.back().second;
}

ChunkCopies CrowdViews::copies(uint32_t chunk) const {
  ChunkCopies made;
  for (const View& view : views_) {
    const auto& [here, has, wants, full, link] = view.told;
    made.wanting += wants ? 1 : 0;
    if (here.empty() || !here[chunk]) continue;
    ++(wants ? made.of_wanting : made.of_others);
    made.full += full ? 1 : 0;
  }
  return made;
}

size_t CrowdViews::wanting() const {
  return static_cast<size_t>(std::count_if(views_.begin(), views_.end(),
                                           [](const View& view) { return view.told.wants; }));
}

bool CrowdViews::holds(const View& view, uint32_t chunk) const {
  return view.told.has[chunk] && !coming_.is_late(view.peer, chunk, chunk + 1);
}

std::vector<size_t> CrowdViews::holders(uint32_t chunk) const {
  std::vector<size_t> made;
  for (size_t i = 0; i < views_.size(); ++i)
    if (holds(views_[i], chunk)) made.push_back(i);
  return made;
}

std::vector<uint32_t> CrowdViews::holders_but(uint32_t chunk, uint32_t but) {
  std::vector<uint32_t> all, made;
  for (const View& view : views_)
    if (view.peer != but && holds(view, chunk)) all.push_back(view.peer);
  for (const size_t i : whom_to_name(all.size(), named_others_++)) made.push_back(all[i]);
  return made;
}

bool CrowdViews::holds(uint32_t peer, uint32_t chunk) const {
  const auto place = places_.find(peer);
  return place != places_.end() && holds(views_[place->second], chunk);
}

Candidate* CrowdViews::find(uint32_t peer) {
  const auto place = places_.find(peer);
  return place == places_.end() ? nullptr : &candidates_[place->second];
}

void CrowdViews::begins(uint32_t peer) {
  if (Candidate* candidate = find(peer)) ++candidate->in_flight;
}

void CrowdViews::ends(uint32_t peer) {
  Candidate* candidate = find(peer);
  if (candidate && candidate->in_flight > 0) --candidate->in_flight;
}

util::Duration CrowdViews::expected(uint32_t peer, bool has_it) const {
  const auto place = places_.find(peer);
  if (place == places_.end()) return kUnmeasured;
  const Candidate& candidate = candidates_[place->second];
  return candidate.expected + (has_it ? util::Duration() : candidate.relay);
}

void CrowdViews::first_byte(uint32_t peer, bool has_it, util::Duration took) {
  if (Candidate* candidate = find(peer); candidate && !has_it) smooth(candidate->relay, took);
}

void CrowdViews::gave_up(uint32_t peer, bool has_it, util::Duration waited) {
  Candidate* candidate = find(peer);
  if (!candidate || waited <= expected(peer, has_it)) return;
  smooth(has_it ? candidate->expected : candidate->relay, waited);
}

const std::vector<Candidate>& CrowdViews::candidates(util::SteadyTime now) {
  for (size_t i = 0; i < views_.size(); ++i) {
    candidates_[i].busy = is_busy(views_[i].busy_at, now);
    candidates_[i].full = views_[i].told.full;
    candidates_[i].wants = views_[i].told.wants;
    candidates_[i].link = views_[i].told.link;
  }
  return candidates_;
}

void CrowdViews::was_busy(uint32_t peer, util::SteadyTime now) {
  const auto place = places_.find(peer);
  if (place == places_.end()) return;
  View& view = views_[place->second];
  view.busy_at = now;
  view.told.full = true;
}

void CrowdViews::took(uint32_t peer, util::Duration took) {
  const auto place = places_.find(peer);
  if (place == places_.end()) return;
  smooth(candidates_[place->second].expected, took);
  views_[place->second].busy_at = {};
}

}  // namespace swarmfs::swarm
