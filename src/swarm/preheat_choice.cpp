// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace swarmfs::swarm {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// Why it is not asked; empty: it is.
std::string unfit(const Peer& peer) {
  if (!peer.banned.empty()) return "banned: " + peer.banned;
  return peer.failures > 0 ? "silent: " + peer.failure : std::string();
}

/// One of each zone, then the second of each, and so on.
std::vector<PreheatMember> in_turn(std::map<std::string, std::vector<PreheatMember>> zones) {
  std::vector<PreheatMember> made;
  for (size_t turn = 0;; ++turn) {
    const size_t before = made.size();
    for (const auto& [zone, members] : zones)
      if (turn < members.size()) made.push_back(members[turn]);
    if (made.size() == before) return made;
  }
}

/// Of whichever zone: nobody knows.
void name_unmet(std::span<const Peer> peers, PreheatChoice& choice) {
  for (const auto& peer : peers) {
    if (!peer.node_id.empty()) continue;
    const std::string why = unfit(peer);
    choice.left_out.push_back(
        {{peer.endpoint, "", ""}, "never met" + (why.empty() ? "" : ", " + why)});
  }
}

Failure too_few(size_t found, size_t left_out, const PreheatWish& wish) {
  const std::string where = wish.zone.empty() ? "" : " in zone " + wish.zone;
  const std::string others =
      left_out == 0 ? "" : fmt::format(", and {} silent or banned", left_out);
  return {Fault::unavailable,
          fmt::format("{} nodes were asked for, but {} can be asked{}{} (see: swarmfs peers)",
                      wish.nodes ? std::to_string(*wish.nodes) : "all", found, where, others)};
}

}  // namespace

Outcome<PreheatChoice> choose_to_preheat(const PreheatMember& self, std::span<const Peer> peers,
                                         const PreheatWish& wish) {
  const auto wanted = [&](const std::string& zone) {
    return wish.zone.empty() || zone == wish.zone;
  };
  std::vector<Peer> sorted(peers.begin(), peers.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const Peer& a, const Peer& b) {
    return unfit(a).empty() != unfit(b).empty() ? unfit(a).empty() : a.endpoint < b.endpoint;
  });
  std::set<std::string> seen{self.node_id};
  std::map<std::string, std::vector<PreheatMember>> zones;
  if (wanted(self.zone)) zones[self.zone].push_back(self);
  PreheatChoice made;
  for (const auto& peer : sorted) {
    if (peer.node_id.empty() || !wanted(peer.zone) || !seen.insert(peer.node_id).second) continue;
    const PreheatMember member{peer.endpoint, peer.node_id, peer.zone};
    if (const std::string why = unfit(peer); why.empty())
      zones[peer.zone].push_back(member);
    else
      made.left_out.push_back({member, why});
  }
  made.members = in_turn(std::move(zones));
  const auto ours = std::find_if(made.members.begin(), made.members.end(), [&](const auto& member) {
    return member.node_id == self.node_id;
  });
  if (ours != made.members.end()) std::rotate(made.members.begin(), ours, ours + 1);
  if (made.members.size() < wish.nodes.value_or(1))
    return too_few(made.members.size(), made.left_out.size(), wish);
  if (wish.nodes)
    made.members.resize(*wish.nodes);
  else
    name_unmet(peers, made);
  return made;
}

}  // namespace swarmfs::swarm
