// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "cluster/claim.h"
#include "swarm/demand_client.h"
#include "swarm/layer_views.h"
#include "swarm/news_rounds.h"
#include "swarm/peer_table.h"
#include "util/clock.h"
#include "util/outcome.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// A layer of which a member said, and signed, what its root and its index are.
struct ClaimedLayer {
  std::shared_ptr<const chunk::HashTree> tree;
  util::Bytes index;
  std::string claimant;  ///< node id
  std::string claim;
};

/// A manifest that a member gave. Its digest is checked against its bytes.
struct GivenManifest {
  util::Digest digest;
  util::Bytes bytes;
};

/// Asks members for what they know of layers and images, one after another. What is given is
/// checked as far as it can be; who gives what is wrong in itself is banned. Any thread; blocking.
class DocumentSearch {
 public:
  struct Parts {
    DemandClient& client;
    PeerTable& table;
    LayerViews& views;
    NewsRounds& rounds;
  };
  /// Who made the claim, of our cluster: its node id.
  using Verify = std::function<util::Outcome<std::string>(const cluster::Claim&)>;

  /// For find_claim_soon(): news are waited for so long, and after it was in vain not for kQuiet;
  /// nor is who did not give a claim in time asked for another one.
  static constexpr std::chrono::milliseconds kHastyNews{200};
  static constexpr std::chrono::seconds kQuiet{10};

  /// The parts must outlive it.
  DocumentSearch(Parts parts, std::string zone, Verify verify);

  /// Of a layer that is interesting. As Swarm has them.
  std::optional<ClaimedLayer> find_claim(const chunk::LayerRef& layer);
  std::optional<ClaimedLayer> find_claim_soon(const chunk::LayerRef& layer, util::SteadyTime until);
  std::optional<GivenManifest> find_manifest(const std::string& reference,
                                             const std::optional<util::Digest>& digest,
                                             const std::string& platform, util::SteadyTime until);
  std::optional<std::string> find_profile(const util::Digest& manifest,
                                          const std::string& repository);

 private:
  using Member = LayerViews::Member;

  /// Members with something to give, those of our zone first.
  [[nodiscard]] std::vector<Endpoint> askable() const;
  [[nodiscard]] std::vector<Member> sealed_members(const util::Digest& layer) const;
  /// Of those that are known as many have spoken of the layer as are asked in one round.
  [[nodiscard]] bool heard_enough(const util::Digest& layer) const;
  void wait_for_news_shortly(const util::Digest& layer, util::SteadyTime until);
  [[nodiscard]] bool is_slow(const Endpoint& peer);
  std::optional<ClaimedLayer> refuse(const Endpoint& peer, const std::string& why);
  std::optional<ClaimedLayer> claimed_by(const Member& member, const chunk::LayerRef& layer,
                                         util::SteadyTime until);

  const Parts parts_;
  const std::string zone_;
  const Verify verify_;
  util::Sync<util::SteadyTime> quiet_until_;
  util::Sync<std::map<Endpoint, util::SteadyTime>> slow_until_;
};

}  // namespace swarmfs::swarm
