// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <string>

#include "chunk/source.h"
#include "swarm/demand_client.h"
#include "swarm/layer_traffic.h"
#include "swarm/layer_views.h"
#include "swarm/peer_table.h"
#include "swarm/policy.h"
#include "util/link_gauge.h"
#include "util/metrics.h"
#include "util/timers.h"

namespace swarmfs::swarm {

struct PeerSourceOptions {
  std::string zone;
  std::function<std::string()> node_id;  ///< ours
  bool provisional = true;               ///< members may give bytes that no hash tree covers
  uint64_t cross_zone_rate = 0;          ///< at first
  /// A layer is asked for that nobody was interested in before. On the timer's thread.
  std::function<void(const chunk::LayerRef&)> on_fresh;
  LayerTraffic* traffic = nullptr;  ///< is told what is received; outlives the source. Null: nobody
  uint64_t download_rate = 0;       ///< of bulk, bytes per second, at first; 0: no limit
  uint64_t download_rate_per_peer = 0;  ///< likewise
  /// What comes to this node, as its fetcher gauges it.
  std::shared_ptr<const util::LinkGauge> link = std::make_shared<util::LinkGauge>();
};

/// Layers from other nodes, over the demand lane: from who has the bytes, else by the owner of the
/// chunk's share, who fetches them from the registry once for all (policy.h: steps). One request
/// stays inside one chunk. See chunk::Source.
class PeerSource final : public chunk::Source {
 public:
  PeerSource(PeerSourceOptions options, DemandClient& client, PeerTable& table, LayerViews& views,
             util::Timers& timers, util::Metrics& metrics);
  ~PeerSource() override;

  [[nodiscard]] chunk::SourceKind kind() const override { return chunk::SourceKind::peer; }
  [[nodiscard]] std::string name() const override { return "peers"; }
  [[nodiscard]] std::optional<chunk::Plan> plan(const chunk::LayerRef& layer, util::ByteRange range,
                                                const chunk::FetchContext& context) override;
  [[nodiscard]] bool has(const chunk::LayerRef& layer, util::ByteRange range) override;
  [[nodiscard]] size_t wanting(const chunk::LayerRef& layer) override;
  [[nodiscard]] std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer,
                                                       util::ByteRange range,
                                                       const chunk::FetchContext& context,
                                                       OnData on_data, OnDone on_done) override;
  void blame(const chunk::LayerRef& layer, const std::string& supplier,
             const std::string& why) override;
  /// Who contradicts its own claim is blamed.
  void bar(const chunk::LayerRef& layer, const std::string& supplier,
           const std::string& claimant) override;
  void unbar(const chunk::LayerRef& layer) override;

  /// How much of `range` has one answer to "is it ours to fetch from the registry": to the chunk's
  /// end where others are in the layer's swarm, else all of it. Cheap, any thread.
  [[nodiscard]] uint64_t share_length(const chunk::LayerRef& layer, util::ByteRange range) const;

  /// Of other zones, bytes per second; 0: no limit.
  void set_cross_zone_rate(uint64_t rate);
  void set_download_rates(uint64_t rate, uint64_t rate_per_peer);

  struct State;  // shared with the transfers under way

 private:
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::swarm
