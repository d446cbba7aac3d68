// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/announcements.h"

#include <algorithm>

namespace swarmfs::swarm {

void Announcements::add(const DhtKey& key, const Endpoint& peer, util::SteadyTime now) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    if (by_key_.size() >= limits_.keys || peers_ >= limits_.total) return;
    found = by_key_.emplace(key, std::vector<Said>()).first;
  }
  std::vector<Said>& said = found->second;
  peers_ -= std::erase_if(said, [&](const Said& it) { return it.peer == peer; });
  if (said.size() >= limits_.peers || (peers_ >= limits_.total && !said.empty())) {
    said.erase(said.begin());
    peers_--;
  }
  said.push_back({peer, now});
  peers_++;
}

std::vector<Endpoint> Announcements::of(const DhtKey& key, bool ipv6, size_t most,
                                        util::SteadyTime now) const {
  std::vector<Endpoint> result;
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return result;
  const std::vector<Said>& said = found->second;
  for (auto it = said.rbegin(); it != said.rend() && result.size() < most; ++it) {
    if (now - it->at > kAnnouncementLife) break;
    if ((it->peer.address.find(':') != std::string::npos) == ipv6) result.push_back(it->peer);
  }
  return result;
}

void Announcements::forget_old(util::SteadyTime now) {
  for (auto entry = by_key_.begin(); entry != by_key_.end();) {
    peers_ -= std::erase_if(entry->second,
                            [&](const Said& it) { return now - it.at > kAnnouncementLife; });
    entry = entry->second.empty() ? by_key_.erase(entry) : std::next(entry);
  }
}

}  // namespace swarmfs::swarm
