// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/peer_report.h"

#include <algorithm>
#include <chrono>

namespace swarmfs::daemon {

using control::PeerReport;

namespace {

std::optional<double> milliseconds(util::Duration duration) {
  if (duration.count() == 0) return std::nullopt;
  return std::chrono::duration<double, std::milli>(duration).count();
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
      made.push_back(
          {member.endpoint.to_string(), std::min(member.blocks * chunk::kBlockSize, size)});
  return made;
}

}  // namespace swarmfs::daemon
