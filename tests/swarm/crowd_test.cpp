// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "crowd.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "swarm/shareholders.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::seconds;

CrowdResult tell_news(const char* what, CrowdOptions options) {
  options.chunks = 0;
  const CrowdResult made = run_crowd(options);
  std::printf("%s: %zu nodes agree after %.1f s; %.0f news/s answered, %.0f by the busiest\n", what,
              options.nodes, made.agrees_after, made.news_per_second, made.busiest_per_second);
  return made;
}

CrowdResult pull(const char* what, const CrowdOptions& options) {
  const CrowdResult made = run_crowd(options);
  std::printf("%s: %zu nodes, %.3f copies, p50 %.2f, p99 %.2f, last %.2f of the optimum\n", what,
              options.nodes, made.copies, made.at(0.5) / made.optimum, made.at(0.99) / made.optimum,
              made.at(1) / made.optimum);
  EXPECT_EQ(made.unfinished, 0u) << what;
  EXPECT_GE(made.copies, 1) << what;
  EXPECT_GE(made.took.front(), made.optimum) << what << ": faster than its link";
  return made;
}

TEST(Crowd, agrees_on_its_shareholders_within_seconds) {
  for (const size_t nodes : {80, 400}) {
    const auto made = tell_news("at once", {.nodes = nodes, .lasts = seconds(5)});
    EXPECT_GT(made.agrees_after, 0) << nodes;
    EXPECT_GE(made.agreement, 0.98) << nodes;
  }
}

TEST(Crowd, asks_few_of_its_own_however_many_there_are) {
  const auto made = tell_news("load", {.nodes = 400, .lasts = seconds(5)});
  // A second and a half of five it asks three times as often.
  EXPECT_LE(made.news_per_second, 1.6 * 4 * kMostAsked);
  EXPECT_LE(made.busiest_per_second, 1.6 * 8 * 4 * kMostAsked) << "a shareholder";
}

TEST(Crowd, agrees_although_a_node_in_two_goes_within_a_minute) {
  const auto made =
      tell_news("losses", {.nodes = 300, .losses_per_minute = 0.5, .lasts = seconds(8)});
  EXPECT_GE(made.agreement, 0.95);
}

TEST(Crowd, of_one_node_pulls_all_from_the_registry) {
  const auto made = pull("alone", {.nodes = 1, .chunks = 200});
  EXPECT_DOUBLE_EQ(made.copies, 1);
}

TEST(Crowd, that_starts_at_once_takes_little_more_than_one_copy) {
  for (const size_t nodes : {10, 64}) {
    const auto made = pull("at once", {.nodes = nodes, .chunks = 300});
    EXPECT_LE(made.copies, 1.04) << nodes;
    EXPECT_LE(made.at(0.99), 2.1 * made.optimum) << nodes;
  }
}

TEST(Crowd, at_a_registry_as_narrow_as_a_node_takes_little_more_than_one_copy) {
  const CrowdOptions narrow{
      .nodes = 120, .chunks = 300, .registry_rate = 12.5e6, .node_rate = 12.5e6};
  const auto made = pull("100 Mbit/s", narrow);
  EXPECT_LE(made.copies, 1.1);
  EXPECT_LE(made.at(0.99), 1.75 * made.optimum);
}

TEST(Crowd, waits_for_no_straggler_s_queue) {
  const auto made = pull("stragglers", {.nodes = 64, .chunks = 300, .stragglers = 0.05});
  EXPECT_LE(made.copies, 1.1);
  EXPECT_LE(made.at(0.99), 3 * made.optimum);
}

TEST(Crowd, gives_to_others_beside_who_takes_it_slowly) {
  const auto made = pull("5 Mbit/s among 100", {.nodes = 64,
                                                .chunks = 300,
                                                .stragglers = 0.02,
                                                .registry_rate = 12.5e6,
                                                .node_rate = 12.5e6,
                                                .lasts = seconds(1000)});
  EXPECT_LE(made.copies, 1.1);
  EXPECT_LE(made.at(0.5), 1.6 * made.optimum) << "waits for what one brings slowly";
  EXPECT_LE(made.at(0.99), 2.2 * made.optimum);
}

TEST(Crowd, of_six_waits_for_no_share_of_the_one_on_a_narrow_link) {
  for (const uint64_t seed : {1, 4, 7}) {
    const auto made = pull("5 Mbit/s among six", {.nodes = 6,
                                                  .chunks = 233,
                                                  .stragglers = 0.16,
                                                  .registry_rate = 12.5e6,
                                                  .node_rate = 12.5e6,
                                                  .lasts = seconds(1000),
                                                  .seed = seed});
    EXPECT_EQ(made.stragglers_took.size(), 1u) << seed;
    EXPECT_LE(made.copies, 1.06) << seed;
    EXPECT_LE(made.at(0.5), 1.7 * made.optimum) << seed;
  }
}

TEST(Crowd, that_wants_what_one_node_has_takes_it_there_once) {
  const auto made = run_crowd({.nodes = 64, .chunks = 300, .seeds = 1});
  EXPECT_EQ(made.unfinished, 0u);
  EXPECT_LE(made.copies, 0.02) << "from the registry";
  EXPECT_LE(made.at(0.99), 2 * made.optimum);
}

TEST(Crowd, that_loses_one_in_ten_a_minute_takes_little_more_than_one_copy) {
  const auto made = pull("losses", {.nodes = 64, .chunks = 300, .losses_per_minute = 0.1});
  EXPECT_LE(made.copies, 1.1);
  EXPECT_LE(made.at(0.99), 2.1 * made.optimum);
}

TEST(Crowd, waits_for_a_registry_far_narrower_than_its_own_links) {
  const auto made =
      pull("10 Mbit/s for 100",
           {.nodes = 64, .chunks = 100, .registry_rate = 1.25e6, .node_rate = 12.5e6});
  EXPECT_LE(made.copies, 1.2);
  EXPECT_LE(made.at(0.99), 1.3 * made.optimum);
}

TEST(Crowd, is_no_slower_where_there_are_more_of_it) {
  const auto small = pull("64", {.nodes = 64, .chunks = 300});
  const auto large = pull("120", {.nodes = 120, .chunks = 300});
  EXPECT_LE(large.copies, 1.05);
  EXPECT_LE(large.at(0.99), 1.5 * small.at(0.99));
}

}  // namespace
}  // namespace swarmfs::swarm
