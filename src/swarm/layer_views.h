// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "chunk/layer_ref.h"
#include "swarm/coming_times.h"
#include "swarm/endpoint.h"
#include "swarm/news.h"
#include "swarm/policy.h"
#include "swarm/shareholders.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// The repositories that a layer can be asked for in: "registry/name".
std::vector<std::string> repositories_of(const chunk::LayerRef& layer);

/// In which of its own names a layer is asked for of a member that knows it in `known`: what comes
/// in another repository's name is that one's.
std::string name_to_ask_in(const chunk::LayerRef& layer, const std::string& known);

/// What this node knows of who has and who wants the layers that it is interested in. Any thread; a
/// leaf: calls nobody.
class LayerViews {
 public:
  /// What a peer said, or showed by asking, counts for so long.
  static constexpr std::chrono::seconds kBelieved{10};
  /// Peers that are remembered of one layer; of a crowd the shareholders, and who was heard last.
  static constexpr size_t kMostPeers = 256;

  /// Peers that have or want a layer.
  struct Member {
    Endpoint endpoint;
    bool holds = false;   ///< all of the blocks in question, or has them soon
    bool coming = false;  ///< it has them soon
    bool wants = false;
    bool sealed = false;
    uint64_t blocks = 0;       ///< that it has
    std::string repository{};  ///< that it knows the layer in
    uint16_t bulk_port = 0;    ///< see LayerNews
    bool full = false;         ///< see News
    uint64_t link = 0;         ///< likewise
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
  /// A shareholder of the layer, says a peer. True: it would be one as far as we can tell, and was
  /// not heard yet; it is a candidate now.
  bool named(const util::Digest& layer, const std::string& node_id, const Endpoint& peer);

  /// The peer's answer in a repository: what it does not mention of `asked` it has not there.
  /// `node_id`: empty while it is not known.
  void heard(const Endpoint& peer, const std::string& repository,
             const std::vector<util::Digest>& asked, const News& news, util::SteadyTime now,
             std::string_view node_id = {});
  /// The peer asked us for news of the layer, and wants it.
  void wanted_by(const Endpoint& peer, const util::Digest& layer, util::SteadyTime now,
                 std::string_view node_id = {});
  /// Another peer says that this one has these blocks.
  void holds(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks);
  /// It said it has these blocks and has not.
  void lacks(const Endpoint& peer, const util::Digest& layer, chunk::BlockRange blocks);
  /// It has no room for bulk, as far as we know until its next news.
  void full(const Endpoint& peer);
  /// It does not answer, or is banned.
  void gone(const Endpoint& peer);

  /// Who has or wants something of the layer, or its claim, besides us. Empty also for layers that
  /// nobody is interested in.
  [[nodiscard]] std::vector<Member> members(const util::Digest& layer, chunk::BlockRange blocks,
                                            util::SteadyTime now) const;
  /// Of all of the blocks, not only on their way, as peers say.
  [[nodiscard]] ChunkCopies copies(const util::Digest& layer, chunk::BlockRange blocks,
                                   util::SteadyTime now) const;
  /// Peers that answered or asked since the layer became interesting.
  [[nodiscard]] std::set<Endpoint> heard_from(const util::Digest& layer) const;
  [[nodiscard]] std::optional<chunk::LayerRef> find(const util::Digest& layer) const;
  /// Layers that are still interesting; forgets those that are not.
  [[nodiscard]] std::vector<chunk::LayerRef> interesting(util::SteadyTime now);
  /// Its members, and who may be one: with its weight whom a peer named, with 1 whom the DHT did.
  [[nodiscard]] std::map<Endpoint, NewsPeer> to_ask(const util::Digest& layer) const;
  /// Its shareholders by node id, as far as we know, ourselves left out.
  [[nodiscard]] std::map<std::string, Endpoint> shareholders_of(const util::Digest& layer,
                                                                util::SteadyTime now) const;

 private:
  struct PeerView {
    LayerNews news;
    uint64_t held = 0;       ///< blocks of the news, counted
    std::string repository;  ///< of the news
    std::string node_id;     ///< empty: not known
    uint64_t weight = 0;     ///< see shareholder_weight
    bool wants = false;
    bool full = false;       ///< see News
    uint64_t link = 0;       ///< likewise
    util::SteadyTime heard;  ///< its news
    util::SteadyTime asked;  ///< it asked us
    [[nodiscard]] util::SteadyTime last() const { return std::max(heard, asked); }
    [[nodiscard]] bool exchanges() const { return wants || held > 0; }
    [[nodiscard]] uint64_t share_weight() const { return exchanges() ? weight : 0; }
  };
  struct View {
    chunk::LayerRef ref;
    util::SteadyTime until;
    std::map<Endpoint, PeerView> peers;
    std::map<Endpoint, uint64_t> candidates;  ///< and the weight of who was named, else 1
    ComingTimes<Endpoint> coming{};           ///< of its chunks

    void heard_coming(const Endpoint& peer, const LayerNews& news, util::SteadyTime now);
    /// It has all of the blocks, or soon.
    [[nodiscard]] bool holds(const Endpoint& peer, const LayerNews& news,
                             chunk::BlockRange blocks) const;
    PeerView& remember(const Endpoint& peer, std::string_view node_id);
    void make_room();
  };
  util::Sync<std::map<util::Digest, View>> views_;
};

}  // namespace swarmfs::swarm
