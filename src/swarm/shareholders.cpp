// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/shareholders.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <numeric>

namespace swarmfs::swarm {
namespace {

/// No layer has so many chunks: its own hash apart from those of the shares.
constexpr uint64_t kNoChunk = ~0ull;

/// `seats` of the indices below `count`, each turn the next ones.
std::vector<size_t> by_turns(size_t count, uint64_t turn, size_t seats) {
  std::vector<size_t> made;
  if (seats == 0) return made;
  const size_t first = turn % count * seats % count;
  for (size_t i = 0; i < seats; ++i) made.push_back((first + i) % count);
  return made;
}

void take_by_turns(const std::vector<size_t>& from, uint64_t turn, size_t seats,
                   std::vector<size_t>& into) {
  for (const size_t i : by_turns(from.size(), turn, seats)) into.push_back(from[i]);
}

}  // namespace

uint64_t shareholder_weight(const util::Digest& layer, std::string_view node_id) {
  return ShareholderWeights(layer)(node_id);
}

ShareholderWeights::ShareholderWeights(const util::Digest& layer) : weigh_(layer, kNoChunk) {}

uint64_t ShareholderWeights::operator()(std::string_view node_id) const {
  return node_id.empty() ? 0 : std::max<uint64_t>(1, weigh_(node_id));
}

std::vector<size_t> shareholders(std::span<const uint64_t> weights, size_t most) {
  std::vector<size_t> order;
  for (size_t i = 0; i < weights.size(); ++i)
    if (weights[i] > 0) order.push_back(i);
  const auto heavier = [&](size_t a, size_t b) { return weights[a] > weights[b]; };
  const auto end = order.begin() + static_cast<ptrdiff_t>(std::min(most, order.size()));
  std::partial_sort(order.begin(), end, order.end(), heavier);
  order.erase(end, order.end());
  return order;
}

std::vector<size_t> whom_to_ask(std::span<const NewsPeer> peers, uint64_t turn, size_t most) {
  std::vector<size_t> all(peers.size());
  std::iota(all.begin(), all.end(), 0);
  if (peers.size() <= most) return all;
  std::vector<uint64_t> weights, named_weights;
  for (const NewsPeer& peer : peers) {
    weights.push_back(peer.named ? 0 : peer.weight);
    named_weights.push_back(peer.named ? peer.weight : 0);
  }
  std::vector<size_t> result = shareholders(named_weights, most / 2);
  const auto owners = shareholders(weights);
  std::vector<bool> taken(peers.size());
  for (const size_t i : result) taken[i] = true;
  for (const size_t i : owners) taken[i] = true;
  std::erase_if(all, [&](size_t i) { return taken[i]; });
  const size_t left = most - result.size();
  const size_t seats = std::max(most / 4, left - std::min(left, all.size()));
  take_by_turns(owners, turn, std::min(owners.size(), seats), result);
  take_by_turns(all, turn, std::min(all.size(), most - result.size()), result);
  return result;
}

bool has_to_name(size_t place, size_t asked, uint64_t turn, bool begins) {
  // Places go round with the turns (whom_to_ask): one sum alone would hit the same ones for ever.
  const uint64_t shifted = turn + turn / 4 + turn / 16 + turn / 64;
  return begins || asked < kMostAsked || (place + shifted) % 4 == 0;
}

std::vector<size_t> whom_to_name(size_t holders, uint64_t turn) {
  return by_turns(holders, turn, std::min(holders, kMostNamed));
}

util::Duration news_patience(size_t known, bool some_yet_to_answer) {
  const bool is_short = known <= kMostAsked && !some_yet_to_answer;
  return std::chrono::milliseconds(is_short ? 300 : 1'000);
}

bool outweighs(std::span<const uint64_t> weights, uint64_t weight) {
  const auto heavier = [&](uint64_t other) { return other >= weight; };
  return std::count_if(weights.begin(), weights.end(), heavier) <
         static_cast<ptrdiff_t>(kMostShareholders);
}

size_t whom_to_forget(std::span<const Remembered> members) {
  assert(!members.empty());
  uint64_t lightest = 0;  // of the shareholders
  if (members.size() > kMostShareholders) {
    std::vector<uint64_t> weights;
    for (const Remembered& member : members) weights.push_back(member.weight);
    const auto last = weights.begin() + (kMostShareholders - 1);
    std::nth_element(weights.begin(), last, weights.end(), std::greater<>());
    lightest = std::max<uint64_t>(1, *last);
  }
  size_t oldest = members.size();
  for (size_t i = 0; i < members.size(); ++i) {
    if (lightest > 0 && members[i].weight >= lightest) continue;
    if (oldest == members.size() || members[i].heard < members[oldest].heard) oldest = i;
  }
  if (oldest < members.size()) return oldest;
  // All weigh the same: one node at many ports.
  const auto least =
      std::min_element(members.begin(), members.end(),
                       [](const auto& a, const auto& b) { return a.heard < b.heard; });
  return static_cast<size_t>(least - members.begin());
}

}  // namespace swarmfs::swarm
