// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/hash_tree.h"
#include "chunk/source.h"
#include "cluster/identity_keeper.h"
#include "swarm/copies.h"
#include "swarm/document_search.h"
#include "swarm/endpoint.h"
#include "swarm/holdings.h"
#include "swarm/layer_traffic.h"
#include "swarm/layer_views.h"
#include "swarm/peer_table.h"
#include "swarm/preheat_run.h"
#include "swarm/registry_views.h"
#include "swarm/survey.h"
#include "swarm/torrent_session.h"
#include "util/link_gauge.h"
#include "util/metrics.h"
#include "util/timers.h"

namespace swarmfs::swarm {

/// What this node gives and takes at most; can be changed while it runs.
struct SwarmCaps {
  uint64_t cross_zone_rate = 0;  ///< bytes per second from other zones; 0: no limit
  unsigned max_requests = 256;   ///< of other nodes, answered at once
  BulkRates bulk_rates;          ///< of bulk on both lanes; where BitTorrent is on, each has half
};

struct SwarmOptions {
  std::vector<Endpoint> listen;  ///< our demand lane, literal; not empty
  std::vector<Endpoint> peers;   ///< literal addresses and names
  bool dht = true;
  std::string zone;
  bool provisional = true;  ///< members may give bytes that no hash tree covers
  uint16_t bulk_port = 0;   ///< of the BitTorrent exchange, at the addresses of listen; 0: none
  SwarmCaps caps;           ///< at first
  Preheats* preheats = nullptr;  ///< carries out members' orders; null: they are refused
  /// What comes to this node, as its fetcher gauges it.
  std::shared_ptr<const util::LinkGauge> link = std::make_shared<util::LinkGauge>();
  /// How often a few of the announced layers are looked after; what is gone is not announced on.
  std::chrono::milliseconds look_over{5'000};
};

/// Who has what of a layer.
struct LayerSwarm {
  chunk::LayerRef layer;
  uint64_t blocks = 0;  ///< that are here, or on their way from the registry
  std::vector<SurveyedMember> members;
  Copies copies;  ///< at ourselves and these members
  LayerTraffic::Rates rates;
  std::optional<unsigned> bulk_peers;  ///< connected by BitTorrent; empty: not exchanged so
};

struct SwarmsView {
  size_t known = 0, asked = 0, answered = 0;  ///< peers, see Survey
  std::vector<LayerSwarm> layers;
};

/// This node among its peers: who they are, what they have, and what we give them. Runs from
/// construction. Any thread, but the calls that block: not on a callback's.
class Swarm {
 public:
  /// Throws util::Error when it cannot listen. What it refers to must outlive it.
  Swarm(SwarmOptions options, cluster::IdentityKeeper& identity, Holdings& holdings,
        util::Timers& timers, util::Metrics& metrics);
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  void set_caps(const SwarmCaps& caps);

  [[nodiscard]] chunk::Source& source();
  /// The BitTorrent exchange; null: there is none. To be asked before source().
  [[nodiscard]] chunk::Source* bulk_source();
  /// See PeerSource::share_length.
  [[nodiscard]] uint64_t share_length(const chunk::LayerRef& layer, util::ByteRange range) const;
  /// The layer will be wanted: looks for who has it, and tells others.
  void interest(const chunk::LayerRef& layer);

  /// Something of the layer is here: tells the DHT, and nobody is asked. Withdrawn when nothing of
  /// it is here any more and nobody here wants it.
  void announce(const util::Digest& layer);

  /// Blocks, some hundred milliseconds where nobody has it. Checked: the claim is a member's, the
  /// tree makes its root, the index has its hash.
  std::optional<ClaimedLayer> find_claim(const chunk::LayerRef& layer);
  /// The same until `until`, for whom it is better to go on without one than to wait: at once where
  /// nobody is known, or all that are have spoken of the layer. Silence is not waited for twice.
  std::optional<ClaimedLayer> find_claim_soon(const chunk::LayerRef& layer, util::SteadyTime until);
  /// Our own claim of a layer that we hashed as a whole.
  std::string sign(const util::Digest& layer, uint64_t size, const util::Digest& root,
                   const util::Digest& index);
  /// A node claimed of the layer what is not so: it is banned. Who was banned because its bytes did
  /// not fit what was claimed is not any longer.
  void blame(const std::string& node_id, const util::Digest& layer, const std::string& why);

  /// Blocks, until `until` at most. What a member last resolved `reference` to: members are asked
  /// one after another, 2 s each, and the first answer is it.
  std::optional<GivenManifest> find_manifest(const std::string& reference,
                                             const std::optional<util::Digest>& digest,
                                             const std::string& platform, util::SteadyTime until);
  /// Blocks. The access profile of an image, from a member that ran it.
  std::optional<std::string> find_profile(const util::Digest& manifest,
                                          const std::string& repository);

  /// Ends the calls that ask members for a claim, a manifest or a profile, now and from now on.
  void stop_waiting();

  /// Has the plan's nodes bring in an image, ourselves by `own`. What it returns must not outlive
  /// either.
  [[nodiscard]] std::unique_ptr<PreheatRun> preheat(PreheatPlan plan, Preheats& own);

  /// What members say of registries. Kept up to date for as long as the swarm lives.
  [[nodiscard]] std::shared_ptr<const RegistryViews> registries() const;
  [[nodiscard]] std::vector<Peer> peers() const;
  [[nodiscard]] std::vector<LayerViews::Member> members(const util::Digest& layer) const;
  /// Layers whose members are looked for, or were a minute ago.
  [[nodiscard]] std::vector<chunk::LayerRef> interesting() const;
  /// Blocks, a second at most: asks members what they have of these layers.
  [[nodiscard]] SwarmsView look(const std::vector<chunk::LayerRef>& layers) const;
  [[nodiscard]] size_t dht_nodes() const;
  /// Whether there is anybody to ask now.
  [[nodiscard]] bool has_peers() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::swarm
