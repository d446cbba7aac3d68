// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "cli/finding.h"
#include "cli/node_facts.h"

/// What doctor makes of what it saw. Pure.
namespace swarmfs::cli {

Findings check_daemon(const DaemonFacts& daemon);
Findings check_fuse(const FuseFacts& fuse);
Findings check_cache(const CacheFacts& cache);
/// Empty `identity`: no cluster is configured.
Findings check_identity(const std::optional<IdentityFacts>& identity);
/// `node_id`: the daemon's own; empty: it does not say. Members that answer share a line.
Findings check_peers(const std::vector<PeerProbe>& probes, const std::string& node_id);
/// Of all registries together also the clock.
Findings check_registries(const std::vector<RegistryProbe>& probes);
Findings check_tag(const TagProbe& tag);
Findings check_mirror(const MirrorFacts& mirror);
Findings check_hand_over(const HandOverFacts& hand_over);
/// `mirror_off`: then a runtime that does not ask it is well.
Findings check_runtime(const RuntimeFacts& runtime, bool mirror_off);
Findings check_pull(const PullFacts& pull);
Findings check_read(const ReadFacts& read);

}  // namespace swarmfs::cli
