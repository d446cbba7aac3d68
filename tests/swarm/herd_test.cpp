// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "herd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "swarm/shareholders.h"

namespace swarmfs::swarm {
namespace {

/// The registry gives little more than one copy, and no node is slower than if all of them had
/// pulled from the registry alone.
void expect_worth_it(HerdOptions options, const std::string& what) {
  const HerdResult herd = run_herd(options);
  options.peers = false;
  options.lost.reset();
  // What the registry is asked for at once where there are no peers; more is in its favour.
  options.chunk = (options.nodes > 8 ? 8 : 2) << 20;
  const HerdResult plain = run_herd(options);
  const double copies = herd.registry_bytes / static_cast<double>(options.image);
  const double slowest = *std::max_element(herd.took.begin(), herd.took.end());
  const double plainly = *std::max_element(plain.took.begin(), plain.took.end());
  double worst = 0;
  for (size_t i = 0; i < options.nodes; ++i) worst = std::max(worst, herd.took[i] / plain.took[i]);
  std::printf(
      "%-24s %2zu nodes: %.3f copies from the registry, slowest %.2f s, plain %.2f s, worst %.2f\n",
      what.c_str(), options.nodes, copies, slowest, plainly, worst);
  EXPECT_LE(copies, 1.15) << what << ", " << options.nodes << " nodes";
  // One in a hundred for the look-up before the first request.
  EXPECT_LE(worst, 1.01) << what << ", of " << options.nodes << " nodes";
}

class Herd : public testing::TestWithParam<size_t> {
 protected:
  HerdOptions options_{.nodes = GetParam()};
};

TEST_P(Herd, that_starts_at_once_pulls_one_copy) {
  expect_worth_it(options_, "at once");
}

TEST_P(Herd, that_gathers_within_a_second_pulls_one_copy) {
  options_.joins = std::chrono::seconds(1);
  expect_worth_it(options_, "within a second");
}

TEST_P(Herd, that_loses_a_node_half_way_goes_on) {
  options_.lost = 1;
  expect_worth_it(options_, "one lost");
}

TEST_P(Herd, does_not_wait_for_a_straggler) {
  options_.straggler = 1;
  expect_worth_it(options_, "one straggler");
}

TEST_P(Herd, leaves_a_slow_registry_in_peace) {
  options_.registry_rate = 10e6;
  options_.registry_delay = std::chrono::milliseconds(200);
  expect_worth_it(options_, "slow registry");
}

/// As many as own shares; more are a crowd, where news and patience count (crowd_test).
INSTANTIATE_TEST_SUITE_P(Sizes, Herd, testing::Values(2, 4, 8, kMostShareholders));

}  // namespace
}  // namespace swarmfs::swarm
