// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "cluster/identity_keeper.h"
#include "content/claim_source.h"
#include "daemon/config.h"
#include "daemon/foreign_orders.h"
#include "daemon/peer_holdings.h"
#include "daemon/preheat_ledger.h"
#include "swarm/swarm.h"
#include "util/link_gauge.h"
#include "util/operation.h"

namespace swarmfs::daemon {

/// This node as a member of its cluster: its identity, its swarm, and what content needs of them.
/// Exists only where [cluster] listen is set.
class ClusterNode final : public content::ClaimSource {
 public:
  /// Throws util::Error when the identity is unusable or it cannot listen.
  /// `link`: what comes to this node, as its fetcher gauges it.
  ClusterNode(const Config& config, std::shared_ptr<const util::LinkGauge> link,
              util::Workers& workers, util::Timers& timers, util::Metrics& metrics);

  [[nodiscard]] PeerHoldings& holdings() { return holdings_; }
  [[nodiscard]] PreheatLedger& preheats() { return preheats_; }
  [[nodiscard]] swarm::Swarm& swarm() { return swarm_; }
  [[nodiscard]] const swarm::Swarm& swarm() const { return swarm_; }
  /// What other nodes do with registries. Outlives this node.
  [[nodiscard]] registry::AskFellows fellows() const;
  [[nodiscard]] std::string node_id() const { return identity_.current()->node_id(); }
  /// New tokens or certificates, and caps. Throws util::Error; then all stays as it was.
  void reload(const ClusterSection& section);

  std::optional<content::SealedLayer> find(const chunk::LayerRef& layer) override;
  std::optional<content::SealedLayer> find_soon(const chunk::LayerRef& layer,
                                                util::SteadyTime until) override;
  void proven(const fetch::Layer& layer) override;
  void blame(const std::string& claimant, const util::Digest& layer,
             const std::string& why) override;
  std::string sign(const util::Digest& layer, uint64_t size, const util::Digest& root,
                   const util::Digest& index) override;

 private:
  std::optional<content::SealedLayer> noted(const chunk::LayerRef& layer,
                                            std::optional<swarm::ClaimedLayer> claimed);

  cluster::IdentityKeeper identity_;  // needs timers
  PeerHoldings holdings_;             // needs workers
  util::SteadyClock clock_;
  PreheatLedger preheats_;        // needs clock
  ForeignOrders orders_;          // needs preheats
  swarm::Swarm swarm_;            // needs identity, holdings, orders, timers
  util::Operation looking_over_;  // needs preheats, timers
};

}  // namespace swarmfs::daemon
