// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/registry_views.h"

#include <algorithm>

namespace swarmfs::swarm {

namespace {

constexpr int kSilence = 4;  ///< times as long as one was believed
/// Longer than the silence that a liar owes.
constexpr std::chrono::seconds kRemembered = HeldWord::kLongest * (kSilence + 2);
constexpr std::chrono::seconds kTidyEvery{10};

}  // namespace

void HeldWord::heard(util::Duration held, util::SteadyTime now) {
  if (now < until_) {
    until_ = std::min(now + std::max(held, util::Duration()), from_ + kLongest);
    return;
  }
  if (held <= util::Duration() || now < until_ + kSilence * (until_ - from_)) return;
  from_ = now;
  until_ = now + std::min<util::Duration>(held, kLongest);
}

void RegistryViews::heard(const std::string& node_id, const RegistryWords& words,
                          util::SteadyTime now) {
  auto state = state_.lock();
  forget_old(*state, now);
  const auto known = state->nodes.find(node_id);
  if (known == state->nodes.end() && (words.empty() || state->nodes.size() >= kMostNodes)) return;
  auto& node = known == state->nodes.end() ? state->nodes[node_id] : known->second;
  for (auto& [name, said] : node) {
    if (words.contains(name)) continue;
    said.asks = false;
    said.held.heard({}, now);
  }
  for (const auto& [name, word] : words) {
    if (node.size() >= kMostOfOne && !node.contains(name)) continue;
    auto& said = node[name];
    said.asks = word.asks;
    said.held.heard(word.held, now);
    said.heard = now;
  }
}

void RegistryViews::forget_old(State& state, util::SteadyTime now) {
  if (now - state.tidied < kTidyEvery) return;
  state.tidied = now;
  for (auto& [node_id, node] : state.nodes)
    std::erase_if(node, [&](const auto& one) { return now - one.second.heard > kRemembered; });
  std::erase_if(state.nodes, [](const auto& one) { return one.second.empty(); });
}

RegistryViews::Sum RegistryViews::of(const util::Digest& name, util::SteadyTime now) const {
  Sum made;
  auto state = state_.lock();
  for (const auto& [node_id, node] : state->nodes) {
    const auto found = node.find(name);
    if (found == node.end()) continue;
    const Said& said = found->second;
    if (said.asks && now - said.heard < kBelieved) ++made.asking;
    made.held_until = std::max(made.held_until, said.held.until());
  }
  return made;
}

}  // namespace swarmfs::swarm
