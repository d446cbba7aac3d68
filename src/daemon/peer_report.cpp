// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/peer_report.h"

#include <algorithm>
#include <chrono>
#include <tuple>

namespace swarmfs::daemon {

using control::PeerReport;

namespace {

std::optional<double> milliseconds(util::Duration duration) {
  if (duration.count() == 0) return std::nullopt;
  return std::chrono::duration<double, std::milli>(duration).count();
}

uint64_t bytes_of(uint64_t blocks, uint64_t size) {
  return std::min(blocks * chunk::kBlockSize, size);
}

control::SwarmReport report_swarm(const swarm::LayerSwarm& swarm) {
  const uint64_t size = swarm.layer.size;
  control::SwarmReport made;
  made.digest = swarm.layer.digest.to_string();
  made.size = size;
  made.bytes = bytes_of(swarm.blocks, size);
  for (const auto& member : swarm.members)
    made.members.push_back({member.endpoint.to_string(), member.node_id, member.zone,
                            bytes_of(member.blocks.count(), size), member.wants, member.sealed});
  made.chunks = swarm.copies.chunks;
  made.rarest_copies = swarm.copies.rarest;
  made.rarest_chunks = swarm.copies.as_rare;
  made.received_per_second = swarm.rates.received;
  made.given_per_second = swarm.rates.given;
  made.bulk_peers = swarm.bulk_peers;
  return made;
}

}  // namespace

PeerReport report_of(const swarm::Peer& peer, util::SteadyTime now) {
  PeerReport made;
  made.endpoint = peer.endpoint.to_string();
  made.node_id = peer.node_id;
  made.zone = peer.zone;
  made.bytes_given = peer.bytes_given;
  made.in_flight = peer.in_flight;
  made.first_byte_ms = milliseconds(peer.first_byte);
  made.p95_ms = milliseconds(peer.p95);
  if (peer.rate > 0) made.bytes_per_second = peer.rate;
  if (!peer.banned.empty()) {
    made.state = PeerReport::State::banned;
    made.reason = peer.banned;
  } else if (peer.failures > 0) {
    made.state = PeerReport::State::silent;
    made.reason = peer.failure;
    made.silent_seconds =
        std::max(0.0, std::chrono::duration<double>(peer.silent_until - now).count());
  }
  return made;
}

std::vector<control::HolderReport> holders_of(const std::vector<swarm::LayerViews::Member>& members,
                                              uint64_t size) {
  std::vector<control::HolderReport> made;
  for (const auto& member : members)
    if (member.blocks > 0)
      made.push_back({member.endpoint.to_string(), bytes_of(member.blocks, size)});
  return made;
}

control::SwarmsReport report_of(const swarm::SwarmsView& view) {
  control::SwarmsReport made{view.known, view.asked, view.answered, {}};
  for (const auto& swarm : view.layers) made.layers.push_back(report_swarm(swarm));
  std::sort(made.layers.begin(), made.layers.end(), [](const auto& a, const auto& b) {
    const bool a_whole = a.bytes == a.size, b_whole = b.bytes == b.size;
    return std::tie(a_whole, a.rarest_copies, a.digest) <
           std::tie(b_whole, b.rarest_copies, b.digest);
  });
  return made;
}

}  // namespace swarmfs::daemon
