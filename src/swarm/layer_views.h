// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunk/layer_ref.h"
#include "swarm/endpoint.h"
#include "swarm/news.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// The repositories that a layer can be asked for in: "registry/name".
std::vector<std::string> repositories_of(const chunk::LayerRef& layer);

/// What this node knows of who has and who wants the layers that it is interested in. Any thread; a
/// leaf: calls nobody.
class LayerViews {
 public:
  /// What a peer said, or showed by asking, counts for so long.
  static constexpr std::chrono::seconds kBelieved{10};

  /// Peers that have or want a layer.
  struct Member {
    Endpoint endpoint;
    bool holds = false;  ///< all of the blocks in question
    bool wants = false;
    bool sealed = false;
    uint64_t blocks = 0;       ///< that it has
    std::string repository{};  ///< that it knows the layer in
    /// It takes part in the exchange of bytes.
    [[nodiscard]] bool exchanges() const { return wants || blocks > 0; }
  };

  /// From now on the layer counts as interesting, for at least a minute. True: it did not before.
  /// Its origins are added to those that are known.
  bool interest(const chunk::LayerRef& layer, util::SteadyTime now);
  /// It stays interesting, where it is.
  void renew(const util::Digest& layer, util::SteadyTime now);
  /// A peer that may have the layer (from the DHT): asked although it said nothing yet.
  void may_have(const util::Digest& layer, const Endpoint& peer);

  /// The peer's answer in a repository: what it does not mention of `asked` it has not there.
  void heard(const Endpoint& peer, const std::string& repository,
             const std::vector<util::Digest>& asked, const News& news, util::SteadyTime now);
  /// The peer asked us for news of the layer, and wants it.
  void wanted_by(const Endpoint& peer, const util::Digest& layer, util::SteadyTime now);
  /// Another peer says that this one has these blocks.
  void holds(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks);
  /// It said it has these blocks and has not.
  void lacks(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks);
  /// It does not answer, or is banned.
  void gone(const Endpoint& peer);

  /// Who has or wants something of the layer, or its claim, besides us. Empty also for layers that
  /// nobody is interested in.
  [[nodiscard]] std::vector<Member> members(const util::Digest& layer, chunk::BlockRange blocks,
                                            util::SteadyTime now) const;
  /// Peers that answered or asked since the layer became interesting.
  [[nodiscard]] std::set<Endpoint> heard_from(const util::Digest& layer) const;
  [[nodiscard]] std::optional<chunk::LayerRef> find(const util::Digest& layer) const;
  /// Layers that are still interesting; forgets those that are not.
  [[nodiscard]] std::vector<chunk::LayerRef> interesting(util::SteadyTime now);
  [[nodiscard]] std::set<Endpoint> candidates(const util::Digest& layer) const;

 private:
  struct PeerView {
    LayerNews news;
    std::string repository;  ///< of the news
    bool wants = false;
    util::SteadyTime heard;  ///< its news
    util::SteadyTime asked;  ///< it asked us
  };
  struct View {
    chunk::LayerRef ref;
    util::SteadyTime until;
    std::map<Endpoint, PeerView> peers;
    std::set<Endpoint> candidates;
  };
  util::Sync<std::map<util::Digest, View>> views_;
};

}  // namespace swarmfs::swarm
