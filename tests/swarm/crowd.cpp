// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "crowd.h"

#include <algorithm>
#include <set>

#include "crowd_node.h"
#include "swarm/shareholders.h"

namespace swarmfs::swarm {
namespace {

/// What is under way at the end of each second.
void count(CrowdWorld& world) {
  world.wires.after(std::chrono::milliseconds(999), [&world] {
    auto& second = world.second();
    for (const auto& node : world.nodes) {
      if (node->gone) continue;
      second.under_way += node->inflow.requests;
      second.sending += node->sending;
      second.mean += static_cast<double>(world.options.chunks - node->missing) /
                     static_cast<double>(world.nodes.size());
      for (const auto& [chunk, ask] : node->asks) {
        if (!ask->admitted) continue;
        bool flows = false, waits = false;
        for (const auto& one : ask->tries) {
          flows = flows || one->flow;
          waits = waits || (one->open && !one->flow);
        }
        ++(flows                          ? second.coming
           : node->coming.contains(chunk) ? second.own
           : waits                        ? second.relayed
                                          : second.paused);
      }
      second.finished += node->took > 0;
    }
    for (uint32_t chunk = 0; chunk < world.options.chunks; ++chunk)
      second.here += std::any_of(world.nodes.begin(), world.nodes.end(),
                                 [&](const auto& node) { return !node->gone && node->has[chunk]; });
    world.wires.after(std::chrono::milliseconds(1), [&world] { count(world); });
  });
}

struct Crowd {
  explicit Crowd(const CrowdOptions& options) : world(options) {
    for (size_t i = 0; i < options.seeds; ++i) {
      world.nodes.push_back(std::make_unique<Node>(world, static_cast<uint32_t>(i)));
      world.wires.after({}, [node = world.nodes.back().get()] { node->join_as_seed(); });
    }
    std::uniform_real_distribution<double> when(0, 1);
    for (size_t i = 0; i < options.nodes; ++i)
      join(std::chrono::duration_cast<util::Duration>(options.joins * when(world.random)));
    if (options.losses_per_minute > 0) lose_one();
    if (options.chunks == 0) watch();
    if (options.trace) count(world);
  }
  /// What is left of requests holds on to nodes, which must all be there.
  ~Crowd() {
    for (const auto& node : world.nodes) {
      node->asks.clear();
      node->queue.clear();
      node->coming.clear();
    }
  }

  void run();
  void join(util::Duration in);
  void lose_one();
  void watch();
  [[nodiscard]] bool first_have_all() const;
  /// What part of the true shareholders each node that is there takes for such.
  [[nodiscard]] std::vector<double> agreements();
  [[nodiscard]] CrowdResult result();

  CrowdWorld world;
  double agrees_after = -1;
};

void Crowd::run() {
  const util::SteadyTime end{world.options.lasts};
  world.wires.run([&] { return world.running == 0 || world.wires.now() >= end; });
}

void Crowd::join(util::Duration in) {
  auto& nodes = world.nodes;
  nodes.push_back(std::make_unique<Node>(world, static_cast<uint32_t>(nodes.size())));
  ++world.running;
  world.wires.after(in, [node = nodes.back().get()] { node->join(); });
}

bool Crowd::first_have_all() const {
  return std::all_of(
      world.nodes.begin(),
      world.nodes.begin() + static_cast<ptrdiff_t>(world.options.seeds + world.options.nodes),
      [](const auto& node) { return node->gone || node->straggler || node->missing == 0; });
}

/// Until those who began have it all, or it would not come to an end.
void Crowd::lose_one() {
  const double per_second =
      world.options.losses_per_minute * static_cast<double>(world.options.nodes) / 60;
  const std::chrono::duration<double> next(
      std::exponential_distribution<double>(per_second)(world.random));
  world.wires.after(std::chrono::duration_cast<util::Duration>(next), [this] {
    if (first_have_all()) return;
    Node& node = *world.nodes[world.random() % world.nodes.size()];
    if (node.joined && !node.gone) {
      node.vanish();
      join({});
    }
    lose_one();
  });
}

std::vector<double> Crowd::agreements() {
  std::vector<uint64_t> weights;
  for (const auto& node : world.nodes)
    weights.push_back(node->joined && !node->gone ? node->self.weight : 0);
  const auto right = shareholders(weights);
  std::vector<double> made;
  for (const auto& node : world.nodes) {
    if (!node->joined || node->gone) continue;
    std::set<size_t> taken{node->index};
    for (const auto& [other, weight] : node->views.owners()) taken.insert(other);
    const auto seen =
        std::count_if(right.begin(), right.end(), [&](size_t one) { return taken.contains(one); });
    made.push_back(static_cast<double>(seen) / static_cast<double>(right.size()));
  }
  std::sort(made.begin(), made.end());
  return made;
}

/// Every half second, until most agree.
void Crowd::watch() {
  world.wires.after(std::chrono::milliseconds(500), [this] {
    const auto now = agreements();
    if (!now.empty() && world.wires.now() > util::SteadyTime(world.options.joins) &&
        now[now.size() / 10] >= 62.0 / 64)
      agrees_after = std::chrono::duration<double>(world.wires.now().time_since_epoch()).count();
    else
      watch();
  });
}

CrowdResult Crowd::result() {
  const auto& options = world.options;
  const double bytes = static_cast<double>(std::max(1u, options.chunks)) * kCrowdChunk;
  const double seconds =
      std::chrono::duration<double>(world.wires.now().time_since_epoch()).count();
  CrowdResult made;
  made.copies = world.registry_bytes / bytes;
  made.optimum = bytes / std::min(options.registry_rate, options.node_rate);
  made.slow_optimum = bytes / std::min(options.registry_rate, options.node_rate / 20);
  made.other_zone = world.given[1] / std::max(1.0, world.given[0] + world.given[1]);
  made.agrees_after = agrees_after;
  if (options.trace) made.seconds = world.seconds;
  for (const auto& node : world.nodes) {
    const double rate = static_cast<double>(node->answers) / seconds;
    made.news_per_second += rate / static_cast<double>(options.nodes);
    made.busiest_per_second = std::max(made.busiest_per_second, rate);
    made.news_rate = std::max(made.news_rate, node->told / seconds);
    if (node->gone || node->index < options.seeds) continue;
    if (node->took > 0)
      (node->straggler ? made.stragglers_took : made.took).push_back(node->took);
    else
      ++made.unfinished;
  }
  std::sort(made.took.begin(), made.took.end());
  std::sort(made.stragglers_took.begin(), made.stragglers_took.end());
  const auto all = agreements();
  for (const double one : all) made.agreement += one / static_cast<double>(all.size());
  made.least_agreement = all.front();
  return made;
}

}  // namespace

double CrowdResult::at(double part) const {
  if (took.empty()) return 0;
  return took[std::min(took.size() - 1,
                       static_cast<size_t>(part * static_cast<double>(took.size())))];
}

CrowdResult run_crowd(const CrowdOptions& options) {
  Crowd crowd(options);
  crowd.run();
  return crowd.result();
}

}  // namespace swarmfs::swarm
