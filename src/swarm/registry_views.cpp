// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/registry_views.h"

#include <algorithm>
#include <vector>

namespace swarmfs::swarm {

namespace {

constexpr int kSilence = 4;  ///< times as long as they were believed
/// Longer than the silence that liars owe.
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
  std::vector<util::Digest> changed;  // of what was said of being told to wait
  for (auto& [name, said] : node) {
    if (words.contains(name)) continue;
    said.asks = false;
    if (said.held_until > now) changed.push_back(name);
    said.held_until = {};
  }
  for (const auto& [name, word] : words) {
    if (node.size() >= kMostOfOne && !node.contains(name)) continue;
    auto& said = node[name];
    if (word.held.count() > 0 || said.held_until > now) changed.push_back(name);
    said = {word.asks, now + word.held, now};
  }
  for (const auto& name : changed) weigh(*state, name, now);
}

void RegistryViews::weigh(State& state, const util::Digest& name, util::SteadyTime now) {
  util::SteadyTime until = now;
  for (const auto& [node_id, node] : state.nodes)
    if (const auto found = node.find(name); found != node.end())
      until = std::max(until, found->second.held_until);
  const auto known = state.held.find(name);
  if (known != state.held.end())
    known->second.heard(until - now, now);
  else if (until > now && state.held.size() < kMostHeld)
    state.held[name].heard(until - now, now);
}

void RegistryViews::forget_old(State& state, util::SteadyTime now) {
  if (now - state.tidied < kTidyEvery) return;
  state.tidied = now;
  for (auto& [node_id, node] : state.nodes)
    std::erase_if(node, [&](const auto& one) { return now - one.second.heard > kBelieved; });
  std::erase_if(state.nodes, [](const auto& one) { return one.second.empty(); });
  std::erase_if(state.held,
                [&](const auto& one) { return now - one.second.until() > kRemembered; });
}

RegistryViews::Sum RegistryViews::of(const util::Digest& name, util::SteadyTime now) const {
  Sum made;
  auto state = state_.lock();
  for (const auto& [node_id, node] : state->nodes) {
    const auto found = node.find(name);
    if (found == node.end()) continue;
    if (found->second.asks && now - found->second.heard < kBelieved) ++made.asking;
  }
  if (const auto held = state->held.find(name); held != state->held.end())
    made.held_until = held->second.until();
  return made;
}

}  // namespace swarmfs::swarm
