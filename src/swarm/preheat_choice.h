// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "swarm/peer_table.h"
#include "util/outcome.h"

/// Who is to preheat an image. Pure.
namespace swarmfs::swarm {

/// A node that is asked to.
struct PreheatMember {
  Endpoint endpoint;
  std::string node_id;
  std::string zone;
};

struct PreheatWish {
  std::optional<size_t> nodes;  ///< empty: all
  std::string zone;             ///< only of this one; empty: of any
};

struct PreheatChoice {
  struct LeftOut {
    PreheatMember member;
    std::string why;  ///< "silent: connection refused"
  };
  std::vector<PreheatMember> members;
  /// Members that would have been chosen from, but for this; where all are wished for also peers
  /// that were never met, with neither node id nor zone.
  std::vector<LeftOut> left_out;
};

/// Ourselves first, then the others zone by zone in turn, so that each zone has its part; the same
/// for all who know the same. Each node once, whatever its endpoints. Fault::unavailable: there are
/// not so many.
util::Outcome<PreheatChoice> choose_to_preheat(const PreheatMember& self,
                                               std::span<const Peer> peers,
                                               const PreheatWish& wish);

}  // namespace swarmfs::swarm
