// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <vector>

#include "control/mediator.h"
#include "swarm/layer_views.h"
#include "swarm/peer_table.h"
#include "swarm/swarm.h"
#include "util/clock.h"

/// What swarm knows of peers, in the control API's words. Pure.
namespace swarmfs::daemon {

control::PeerReport report_of(const swarm::Peer& peer, util::SteadyTime now);

/// `size`: of the layer in bytes. Peers that only want it are left out.
std::vector<control::HolderReport> holders_of(const std::vector<swarm::LayerViews::Member>& members,
                                              uint64_t size);

/// Layers that are not whole here first, then those with the fewest copies.
control::SwarmsReport report_of(const swarm::SwarmsView& view);

}  // namespace swarmfs::daemon
