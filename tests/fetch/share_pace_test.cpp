// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/share_pace.h"

#include <gtest/gtest.h>

#include <cmath>

namespace swarmfs::fetch {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMib = 1 << 20;

TEST(SharePace, grows_with_what_comes_in_time_until_something_is_late) {
  SharePace pace;
  EXPECT_EQ(pace.limit(), SharePace::kLeast);
  EXPECT_EQ(pace.took(), util::Duration());
  for (int i = 0; i < 7; ++i) pace.came(kMib, milliseconds(50));
  EXPECT_EQ(pace.limit(), 8 * kMib);
  pace.came(kMib, milliseconds(900));
  EXPECT_EQ(pace.limit(), 8 * kMib - kMib / 4);
  for (int i = 0; i < 8; ++i) pace.came(kMib, milliseconds(50));
  EXPECT_NEAR(static_cast<double>(pace.limit()), 8.75 * kMib, 0.1 * kMib) << "one step";
  for (int i = 0; i < 1'000; ++i) pace.came(kMib, milliseconds(900));
  EXPECT_EQ(pace.limit(), SharePace::kLeast);
  for (int i = 0; i < 100'000; ++i) pace.came(kMib, milliseconds(50));
  EXPECT_EQ(pace.limit(), SharePace::kMost);
}

TEST(SharePace, knows_what_a_request_took_at_most_of_late) {
  SharePace pace;
  pace.came(kMib, milliseconds(800));
  EXPECT_EQ(pace.took(), milliseconds(800));
  pace.came(kMib, milliseconds(100));
  EXPECT_EQ(pace.took(), milliseconds(700));
  for (int i = 0; i < 50; ++i) pace.came(kMib, milliseconds(100));
  EXPECT_EQ(pace.took(), milliseconds(100));
}

/// Two nodes at one link of `rate`, of which each has as much as it asks for part of all.
TEST(SharePace, comes_to_equal_parts) {
  constexpr double kRate = 12e6;
  SharePace one, two;
  for (int i = 0; i < 12; ++i) one.came(kMib, milliseconds(50));
  ASSERT_GT(one.limit(), 10 * two.limit());
  for (int i = 0; i < 200; ++i) {
    const std::chrono::duration<double> takes(static_cast<double>(one.limit() + two.limit()) /
                                              kRate);
    const auto took = std::chrono::duration_cast<util::Duration>(takes);
    for (SharePace* pace : {&one, &two})
      for (auto left = static_cast<int64_t>(pace->limit()); left > 0; left -= kMib / 4)
        pace->came(kMib / 4, took);
  }
  const double parts = static_cast<double>(one.limit()) / static_cast<double>(two.limit());
  EXPECT_LT(std::abs(parts - 1), 0.3);
  EXPECT_NEAR(static_cast<double>(one.limit() + two.limit()) / kRate, 0.5, 0.2) << "seconds";
}

}  // namespace
}  // namespace swarmfs::fetch
