// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "crowd.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "swarm/shareholders.h"

namespace swarmfs::swarm {
namespace {

CrowdResult run(const char* what, const CrowdOptions& options) {
  const CrowdResult made = run_crowd(options);
  std::printf("%s: %zu nodes agree after %.1f s; %.0f news/s answered, %.0f by the busiest\n", what,
              options.nodes, made.agrees_after, made.news_per_second, made.busiest_per_second);
  return made;
}

TEST(Crowd, agrees_on_its_shareholders_within_seconds) {
  for (const size_t nodes : {80, 400}) {
    const auto made = run("at once", {.nodes = nodes});
    EXPECT_GT(made.agrees_after, 0) << nodes;
    EXPECT_GE(made.agreement, 0.98) << nodes;
  }
}

TEST(Crowd, asks_few_of_its_own_however_many_there_are) {
  const auto made = run("load", {.nodes = 400});
  EXPECT_LE(made.news_per_second, 4 * kMostAsked);
  EXPECT_LE(made.busiest_per_second, 8 * 4 * kMostAsked) << "a shareholder";
}

TEST(Crowd, agrees_although_a_node_in_two_goes_within_a_minute) {
  const auto made =
      run("losses", {.nodes = 300, .losses_per_minute = 0.5, .lasts = std::chrono::seconds(8)});
  EXPECT_GE(made.agreement, 0.95);
}

}  // namespace
}  // namespace swarmfs::swarm
