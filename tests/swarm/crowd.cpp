// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "crowd.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "fluid.h"
#include "swarm/layer_views.h"
#include "swarm/shareholders.h"

namespace swarmfs::swarm {
namespace {

constexpr size_t kMostUnmet = 512;

/// A node as others know it.
struct Acquaintance {
  uint32_t node = 0;
  uint64_t weight = 0;
  util::SteadyTime heard{};
};

struct Crowd;

struct Member {
  Member(Crowd& its_crowd, uint32_t its_index);
  void join();
  void tell();
  void remember(const Member& other);
  void learn(const std::vector<Acquaintance>& named);
  void forget(uint32_t node);
  [[nodiscard]] std::vector<uint32_t> whom() const;
  /// As of the last round of news.
  void renew_owners();

  Crowd& crowd;
  const uint32_t index;
  const uint64_t weight;
  bool there = false;
  uint64_t turn;
  uint64_t answers = 0;
  std::vector<Acquaintance> met;                 ///< LayerViews' peers
  std::unordered_map<uint32_t, size_t> places;   ///< in met
  std::unordered_map<uint32_t, uint64_t> unmet;  ///< and their weight where they were named
  std::vector<Acquaintance> owners;
};

struct Crowd {
  explicit Crowd(const CrowdOptions& o) : options(o), random(o.seed) {}
  void join(util::Duration in);
  void lose_one();
  void watch();
  /// What part of the true shareholders each node that is there takes for such.
  [[nodiscard]] std::vector<double> agreements();
  [[nodiscard]] CrowdResult result();

  const CrowdOptions options;
  const util::Digest layer = util::Sha256::of(util::as_bytes("layer"));
  std::mt19937_64 random;
  double agrees_after = -1;
  std::vector<std::unique_ptr<Member>> members;  ///< outlive what is due
  World world;
};

uint64_t weight_of(const Crowd& crowd, uint32_t index) {
  const auto name = "node " + std::to_string(index);
  return shareholder_weight(crowd.layer, util::Sha256::of(util::as_bytes(name)).hex());
}

Member::Member(Crowd& its_crowd, uint32_t its_index)
    : crowd(its_crowd),
      index(its_index),
      weight(weight_of(its_crowd, its_index)),
      turn(its_crowd.random()) {}

void Member::join() {
  there = true;
  std::uniform_int_distribution<uint32_t> any(0, static_cast<uint32_t>(crowd.members.size() - 1));
  for (size_t i = 0; i < crowd.options.known_at_first; ++i)
    if (const uint32_t other = any(crowd.random); other != index) unmet.emplace(other, 0);
  tell();
}

/// A round of news: both sides hear of each other.
void Member::tell() {
  if (!there) return;
  renew_owners();
  for (const uint32_t node : whom()) {
    Member& other = *crowd.members[node];
    if (!other.there) {
      forget(node);
      continue;
    }
    ++other.answers;
    other.remember(*this);
    remember(other);
    learn(other.owners);
  }
  ++turn;
  crowd.world.after(crowd.options.news_every, [this] { tell(); });
}

std::vector<uint32_t> Member::whom() const {
  std::vector<uint32_t> nodes;
  std::vector<NewsPeer> peers;
  for (const Acquaintance& one : met) {
    nodes.push_back(one.node);
    peers.push_back({one.weight, false});
  }
  for (const auto& [node, named] : unmet) {
    nodes.push_back(node);
    peers.push_back({named, named > 0});
  }
  std::vector<uint32_t> made;
  for (const size_t i : whom_to_ask(peers, turn)) made.push_back(nodes[i]);
  return made;
}

void Member::remember(const Member& other) {
  const auto now = crowd.world.now();
  if (const auto place = places.find(other.index); place != places.end()) {
    met[place->second].heard = now;
    return;
  }
  if (met.size() >= LayerViews::kMostPeers) {
    std::vector<Remembered> all;
    for (const Acquaintance& one : met) all.push_back({one.weight, one.heard});
    forget(met[whom_to_forget(all)].node);
  }
  unmet.erase(other.index);
  places[other.index] = met.size();
  met.push_back({other.index, other.weight, now});
}

void Member::learn(const std::vector<Acquaintance>& named) {
  const uint64_t lightest = owners.size() < kMostShareholders ? 0 : owners.back().weight;
  for (const Acquaintance& one : named) {
    if (one.weight <= lightest || one.node == index || places.contains(one.node)) continue;
    if (unmet.size() < kMostUnmet || unmet.contains(one.node)) unmet[one.node] = one.weight;
  }
}

void Member::forget(uint32_t node) {
  unmet.erase(node);
  const auto place = places.find(node);
  if (place == places.end()) return;
  met[place->second] = met.back();
  places[met.back().node] = place->second;
  met.pop_back();
  places.erase(node);
}

void Member::renew_owners() {
  std::vector<uint64_t> weights;
  for (const Acquaintance& one : met) weights.push_back(one.weight);
  owners.clear();
  for (const size_t i : shareholders(weights)) owners.push_back(met[i]);
}

void Crowd::join(util::Duration in) {
  members.push_back(std::make_unique<Member>(*this, static_cast<uint32_t>(members.size())));
  world.after(in, [member = members.back().get()] { member->join(); });
}

void Crowd::lose_one() {
  const double per_second = options.losses_per_minute * static_cast<double>(options.nodes) / 60;
  const std::chrono::duration<double> next(
      std::exponential_distribution<double>(per_second)(random));
  world.after(std::chrono::duration_cast<util::Duration>(next), [this] {
    Member& one = *members[random() % members.size()];
    if (std::exchange(one.there, false)) join({});
    lose_one();
  });
}

std::vector<double> Crowd::agreements() {
  std::vector<uint64_t> weights;
  for (const auto& member : members) weights.push_back(member->there ? member->weight : 0);
  const auto right = shareholders(weights);
  std::vector<double> made;
  for (const auto& member : members) {
    if (!member->there) continue;
    member->renew_owners();
    std::set<size_t> taken{member->index};
    for (const Acquaintance& one : member->owners) taken.insert(one.node);
    const auto seen =
        std::count_if(right.begin(), right.end(), [&](size_t one) { return taken.contains(one); });
    made.push_back(static_cast<double>(seen) / static_cast<double>(right.size()));
  }
  std::sort(made.begin(), made.end());
  return made;
}

/// Every half second, until most agree.
void Crowd::watch() {
  world.after(std::chrono::milliseconds(500), [this] {
    const auto now = agreements();
    if (!now.empty() && world.now() > util::SteadyTime(options.joins) &&
        now[now.size() / 10] >= 62.0 / 64)
      agrees_after = world.seconds();
    else
      watch();
  });
}

CrowdResult Crowd::result() {
  CrowdResult made;
  made.agrees_after = agrees_after;
  const auto all = agreements();
  for (const double one : all) made.agreement += one / static_cast<double>(all.size());
  made.least_agreement = all.front();
  for (const auto& member : members) {
    const double rate = static_cast<double>(member->answers) / world.seconds();
    made.news_per_second += rate / static_cast<double>(options.nodes);
    made.busiest_per_second = std::max(made.busiest_per_second, rate);
  }
  return made;
}

}  // namespace

CrowdResult run_crowd(const CrowdOptions& options) {
  Crowd crowd(options);
  std::uniform_real_distribution<double> when(0, 1);
  for (size_t i = 0; i < options.nodes; ++i)
    crowd.join(std::chrono::duration_cast<util::Duration>(options.joins * when(crowd.random)));
  if (options.losses_per_minute > 0) crowd.lose_one();
  crowd.watch();
  const util::SteadyTime end(options.lasts);
  crowd.world.run([&] { return crowd.world.now() >= end; });
  return crowd.result();
}

}  // namespace swarmfs::swarm
