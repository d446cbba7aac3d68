// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/download_caps.h"

namespace swarmfs::swarm {

DownloadCaps::DownloadCaps(uint64_t rate, uint64_t rate_per_peer)
    : all_(std::make_shared<BulkAllowance>(rate)), each_(Each{rate_per_peer, {}}) {}

void DownloadCaps::set_rates(uint64_t rate, uint64_t rate_per_peer) {
  all_->set_rate(rate);
  auto each = each_.lock();
  each->rate = rate_per_peer;
  for (const auto& [peer, one] : each->peers) one->set_rate(rate_per_peer);
}

util::Duration DownloadCaps::wait(const Endpoint& peer, util::SteadyTime now) const {
  auto each = each_.lock();
  const auto found = each->peers.find(peer);
  return found == each->peers.end() ? util::Duration() : found->second->wait(now);
}

DownloadCaps::Bookings DownloadCaps::book(const Endpoint& peer, uint64_t bytes,
                                          util::SteadyTime now) {
  auto each = each_.lock();
  if (each->peers.size() > kMostIdlePeers)
    std::erase_if(each->peers, [](const auto& one) { return one.second.use_count() == 1; });
  auto& one = each->peers[peer];
  if (!one) one = std::make_shared<BulkAllowance>(each->rate);
  return {all_->book(bytes, now), one->book(bytes, now)};
}

}  // namespace swarmfs::swarm
