// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/preheater.h"

#include <algorithm>

#include "daemon/preheat_report.h"

namespace swarmfs::daemon {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr size_t kMostPreheats = 16;
constexpr std::chrono::milliseconds kLookEvery{500};
/// A thousand nodes are not to be asked twice a second each.
constexpr std::chrono::milliseconds kPerNode{2};

swarm::PreheatMember place_of(const ClusterSection& section) {
  if (section.listen.empty()) return {};
  return {swarm::Endpoint::parse(section.listen.front()).value_or(swarm::Endpoint{}), "",
          section.zone};
}

}  // namespace

Preheater::Preheater(ClusterNode* node, const ClusterSection& section)
    : node_(node), place_(place_of(section)) {}

Outcome<std::string> Preheater::start(const control::PreheatOrder& order) {
  if (!node_)
    return Failure{Fault::unavailable,
                   "this node is of no cluster ([cluster] listen is not set); for itself: swarmfs "
                   "pull " +
                       order.reference};
  const auto wish = wish_of(order);
  if (!wish) return wish.failure();
  const auto patience = patience_of(order);
  if (!patience) return patience.failure();
  auto self = place_;
  self.node_id = node_->node_id();
  auto choice = swarm::choose_to_preheat(self, node_->swarm().peers(), *wish);
  if (!choice) return choice.failure();
  if (!make_room()) return Failure{Fault::unavailable, "too many preheats are running"};
  swarm::PreheatPlan plan{order.reference, order.platform, std::move(choice->members), {}};
  plan.pace.patience = *patience;
  plan.pace.look = std::max<util::Duration>(kLookEvery, kPerNode * plan.members.size());
  auto known = std::make_shared<Known>();
  known->left_out = std::move(choice->left_out);
  known->run = node_->swarm().preheat(std::move(plan), node_->preheats());
  auto state = state_.lock();
  known->id = "preheat-" + std::to_string(state->next++);
  if (!state->stopping) state->known.push_back(known);
  return known->id;
}

bool Preheater::make_room() {
  const auto all = state_.lock()->known;
  if (all.size() < kMostPreheats) return true;
  const auto ended = std::find_if(all.begin(), all.end(),
                                  [](const auto& known) { return known->run->wait({}).ended; });
  if (ended == all.end()) return false;
  state_.lock()->known.remove(*ended);
  return true;
}

std::shared_ptr<Preheater::Known> Preheater::find(const std::string& id) const {
  auto state = state_.lock();
  const auto found = std::find_if(state->known.begin(), state->known.end(),
                                  [&](const auto& known) { return known->id == id; });
  return found == state->known.end() ? nullptr : *found;
}

std::optional<control::JobReport> Preheater::job(const std::string& id,
                                                 std::chrono::milliseconds wait) {
  const auto known = find(id);
  if (!known) return std::nullopt;
  auto made = report_of(known->run->wait(wait), known->left_out);
  made.id = id;
  return made;
}

bool Preheater::cancel(const std::string& id) {
  const auto known = find(id);
  if (known) known->run->cancel();
  return known != nullptr;
}

void Preheater::stop() {
  std::list<std::shared_ptr<Known>> all;
  {
    auto state = state_.lock();
    state->stopping = true;
    all.swap(state->known);
  }
  for (const auto& known : all) known->run->cancel();
}

}  // namespace swarmfs::daemon
