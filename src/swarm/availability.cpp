// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/availability.h"

#include <algorithm>

namespace swarmfs::swarm {

void Availability::set(State& state, Peer& peer, uint32_t piece, bool has) {
  if (piece >= peer.pieces.size() || peer.pieces[piece] == has) return;
  peer.pieces[piece] = has;
  state.copies[piece] = static_cast<uint16_t>(state.copies[piece] + (has ? 1 : -1));
}

void Availability::connected(PeerKey peer, const std::string& address) {
  auto state = state_.lock();
  const size_t pieces = state->copies.size();
  state->peers.try_emplace(peer, Peer{address, std::vector<bool>(pieces)});
}

void Availability::gone(PeerKey peer) {
  auto state = state_.lock();
  const auto found = state->peers.find(peer);
  if (found == state->peers.end()) return;
  for (uint32_t piece = 0; piece < state->copies.size(); ++piece)
    set(*state, found->second, piece, false);
  state->peers.erase(found);
}

void Availability::has(PeerKey peer, const std::vector<bool>& pieces) {
  auto state = state_.lock();
  const auto found = state->peers.find(peer);
  if (found == state->peers.end() || pieces.size() != state->copies.size()) return;
  for (uint32_t piece = 0; piece < pieces.size(); ++piece)
    set(*state, found->second, piece, pieces[piece]);
}

void Availability::has(PeerKey peer, uint32_t piece) {
  auto state = state_.lock();
  const auto found = state->peers.find(peer);
  if (found != state->peers.end()) set(*state, found->second, piece, true);
}

void Availability::lacks(PeerKey peer, uint32_t piece) {
  auto state = state_.lock();
  const auto found = state->peers.find(peer);
  if (found != state->peers.end()) set(*state, found->second, piece, false);
}

unsigned Availability::copies(uint32_t piece) const {
  return state_.lock()->copies.at(piece);
}

bool Availability::is_connected(const std::string& address) const {
  auto state = state_.lock();
  return std::any_of(state->peers.begin(), state->peers.end(),
                     [&](const auto& entry) { return entry.second.address == address; });
}

Availability::Summary Availability::summary() const {
  auto state = state_.lock();
  const auto rarest = std::min_element(state->copies.begin(), state->copies.end());
  return {static_cast<unsigned>(state->peers.size()), rarest == state->copies.end() ? 0u : *rarest};
}

}  // namespace swarmfs::swarm
