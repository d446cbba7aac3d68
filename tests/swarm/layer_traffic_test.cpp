// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/layer_traffic.h"

#include <gtest/gtest.h>

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const util::SteadyTime kStart{seconds(1000)};

TEST(RateMeter, nears_a_steady_rate_and_forgets_it) {
  RateMeter meter;
  EXPECT_EQ(meter.per_second(kStart), 0);
  auto now = kStart;
  for (int i = 0; i < 400; ++i) meter.add(10'000, now += milliseconds(100));
  EXPECT_NEAR(meter.per_second(now), 100'000, 2'000);
  EXPECT_NEAR(meter.per_second(now + RateMeter::kSmoothing), 100'000 / 2.718, 2'000);
  EXPECT_LT(meter.per_second(now + seconds(60)), 1);
}

TEST(RateMeter, counts_all_that_came_at_once_and_no_time_that_runs_backwards) {
  RateMeter meter;
  meter.add(3'000, kStart);
  meter.add(1'000, kStart - seconds(9));
  EXPECT_DOUBLE_EQ(meter.per_second(kStart), 1'000);
  EXPECT_DOUBLE_EQ(meter.per_second(kStart - seconds(1)), 1'000);
}

util::Digest layer_named(const std::string& name) {
  return util::Sha256::of(util::as_bytes(name));
}

TEST(LayerTraffic, tells_layers_and_directions_apart) {
  LayerTraffic traffic;
  traffic.received(layer_named("a"), 4'000, kStart);
  traffic.given(layer_named("b"), 8'000, kStart);
  EXPECT_DOUBLE_EQ(traffic.of(layer_named("a"), kStart).received, 1'000);
  EXPECT_DOUBLE_EQ(traffic.of(layer_named("a"), kStart).given, 0);
  EXPECT_DOUBLE_EQ(traffic.of(layer_named("b"), kStart).received, 0);
  EXPECT_DOUBLE_EQ(traffic.of(layer_named("b"), kStart).given, 2'000);
  EXPECT_DOUBLE_EQ(traffic.of(layer_named("c"), kStart).given, 0);
}

TEST(LayerTraffic, remembers_what_moved_in_the_last_minute) {
  LayerTraffic traffic;
  for (int i = 0; i < 1000; ++i)
    traffic.received(layer_named(std::to_string(i)), 1, kStart + seconds(i));
  EXPECT_GE(traffic.size(), 60u);
  EXPECT_LE(traffic.size(), 62u);
}

}  // namespace
}  // namespace swarmfs::swarm
