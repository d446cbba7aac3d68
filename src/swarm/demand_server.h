// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/peer_server.h"
#include "swarm/holdings.h"
#include "swarm/layer_traffic.h"
#include "swarm/layer_views.h"
#include "swarm/peer_table.h"
#include "swarm/policy.h"
#include "swarm/preheat.h"
#include "util/link_gauge.h"
#include "util/metrics.h"

namespace swarmfs::swarm {

struct DemandServerOptions {
  std::vector<std::string> listen;  ///< "10.0.0.3:7946"
  std::string zone;
  ServeLimits limits;
  std::function<std::string()> node_id;  ///< ours
  /// Of the registries that are asked here. Any thread; must not block.
  std::function<RegistryWords()> registries;
  /// Our port in the BitTorrent exchange of a layer that anybody may have; 0: it is not exchanged.
  /// A peer of this address and zone asks about it. Any thread; must not block. Empty: there is no
  /// such exchange.
  std::function<uint16_t(const util::Digest&, const std::string& address, const std::string& zone)>
      bulk_port{};
  Preheats* preheats = nullptr;     ///< null: members' orders are refused
  LayerTraffic* traffic = nullptr;  ///< is told what is given; outlives the server. Null: nobody
  /// What comes to this node, as its fetcher gauges it.
  std::shared_ptr<const util::LinkGauge> link = std::make_shared<util::LinkGauge>();
};

/// The serving half of the demand lane (design.md section 6): what is here, and as owner of a share
/// what the registry has. packaging/demand-lane.md documents the requests. A layer is answered for
/// only in a repository that the asker names and that it belongs to; where the repository is not
/// known to be public, with a proof that the asker may pull from it (proof.h).
class DemandServer {
 public:
  /// Throws util::Error when it cannot listen. What it refers to must outlive it.
  DemandServer(DemandServerOptions options, const http::TlsMaterial& material, Holdings& holdings,
               PeerTable& table, LayerViews& views, util::Metrics& metrics);
  ~DemandServer();
  DemandServer(const DemandServer&) = delete;
  DemandServer& operator=(const DemandServer&) = delete;

  void set_tls(const http::TlsMaterial& material);
  /// For requests to come.
  void set_limits(const ServeLimits& limits);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::swarm
