// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "swarm/policy.h"
#include "util/clock.h"
#include "util/digest.h"

/// How a crowd keeps a layer's swarm small for each of its nodes: a few own its shares, and each
/// node hears from a few at a time. Pure functions; the simulations in tests/swarm call them too.
namespace swarmfs::swarm {

/// So many members own the shares of a layer; the rest get their chunks from these and from each
/// other, and bring nothing from the registry while one of them keeps up. More would have the first
/// chunks later: they share the registry's link, and all end together.
inline constexpr size_t kMostShareholders = 32;
/// Peers that are asked for news in one round.
inline constexpr size_t kMostAsked = 32;

/// What a node weighs among the shareholders of a layer; 0 where its id is not known (empty).
/// Rendezvous hashing: who joins or leaves moves nobody else.
uint64_t shareholder_weight(const util::Digest& layer, std::string_view node_id);
/// The same for many nodes of one layer.
class ShareholderWeights {
 public:
  explicit ShareholderWeights(const util::Digest& layer);
  uint64_t operator()(std::string_view node_id) const;

 private:
  Rendezvous weigh_;
};

/// Indices into `weights` of the heaviest, heaviest first, at most `most`; never those of weight 0.
std::vector<size_t> shareholders(std::span<const uint64_t> weights,
                                 size_t most = kMostShareholders);

/// A peer that can be asked for news.
struct NewsPeer {
  uint64_t weight = 0;  ///< shareholder_weight() for the layer of this round; 1: by the DHT
  bool named = false;   ///< of the swarm, says a peer or the DHT; we have not heard from it yet
};
/// Whom to ask in round `turn`: all, where they are few. Else up to half of the seats go to named
/// ones, a quarter to shareholders and the others to the rest, by turns: so views become one within
/// a few rounds, everybody is heard again, and shareholders are not asked by a whole crowd at once.
std::vector<size_t> whom_to_ask(std::span<const NewsPeer> peers, uint64_t turn,
                                size_t most = kMostAsked);

/// Whether the one at `place` of the `asked` of round `turn` has to name shareholders as well. They
/// change slowly and are long: of many that are asked one in four, unless a layer `begins`.
bool has_to_name(size_t place, size_t asked, uint64_t turn, bool begins);

/// Which of so many that hold a chunk are named to who asks for it: each turn the next ones.
inline constexpr size_t kMostNamed = 4;
std::vector<size_t> whom_to_name(size_t holders, uint64_t turn);

/// How often nodes ask for news. While they begin with a layer, three times as often: they bring in
/// twice what they do not know of each other, and views of a crowd become one by rounds.
inline constexpr std::chrono::milliseconds kFirstNewsPeriod{83}, kNewsPeriod = 3 * kFirstNewsPeriod,
                                                                 kNewsBegin{1'500};

/// How long who begins with a layer that nobody is known to have whole waits for news of it: until
/// views are one, where `known` peers are a crowd. Whoever has heard from a few of them only takes
/// itself for a shareholder, and all would bring the same from the registry.
util::Duration news_patience(size_t known, bool some_yet_to_answer);

/// Whether one of weight `weight` would be a shareholder among those of `weights`.
bool outweighs(std::span<const uint64_t> weights, uint64_t weight);

/// A member of a layer's swarm that is remembered.
struct Remembered {
  uint64_t weight = 0;
  util::SteadyTime heard;  ///< last
};
/// Who makes room for a newcomer: the one that was silent for longest, but no shareholder while
/// there are others. `members` is not empty.
size_t whom_to_forget(std::span<const Remembered> members);

}  // namespace swarmfs::swarm
