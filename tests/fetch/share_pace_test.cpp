// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/share_pace.h"

#include <gtest/gtest.h>

#include <cmath>

namespace swarmfs::fetch {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kPiece = 1 << 20;
constexpr uint64_t kSeven = SharePace::kLeast + 7 * kPiece;  ///< after so many

class SharePaceTest : public testing::Test {
 protected:
  /// So often, with as much asked for as may be.
  void come(int times, milliseconds took) {
    for (int i = 0; i < times; ++i) pace_.came({kPiece, took, pace_.limit(now_)}, now_);
  }

  util::SteadyTime now_{std::chrono::hours(1)};
  SharePace pace_;
};

TEST_F(SharePaceTest, grows_with_what_comes_in_time_until_something_is_late) {
  EXPECT_EQ(pace_.limit(now_), SharePace::kLeast);
  EXPECT_EQ(pace_.took(now_), util::Duration());
  come(7, milliseconds(50));
  EXPECT_EQ(pace_.limit(now_), kSeven);
  come(1, milliseconds(900));
  EXPECT_EQ(pace_.limit(now_), kSeven - kPiece / 4);
  come(7, milliseconds(50));
  EXPECT_NEAR(static_cast<double>(pace_.limit(now_)), 8 * kPiece, 0.1 * kPiece) << "one step";
  come(1'000, milliseconds(900));
  EXPECT_EQ(pace_.limit(now_), SharePace::kLeast);
  come(100'000, milliseconds(50));
  EXPECT_EQ(pace_.limit(now_), SharePace::kMost);
}

TEST_F(SharePaceTest, does_not_grow_by_what_asks_for_less) {
  come(7, milliseconds(50));
  for (int i = 0; i < 100; ++i) pace_.came({kPiece, milliseconds(50), 3 * kPiece}, now_);
  EXPECT_EQ(pace_.limit(now_), kSeven);
  pace_.came({kPiece, milliseconds(900), 3 * kPiece}, now_);
  EXPECT_EQ(pace_.limit(now_), 3 * kPiece - kPiece / 4) << "that was too much";
}

TEST_F(SharePaceTest, holds_among_those_who_hear_of_each_other) {
  EXPECT_FALSE(SharePace::holds_among(0));
  EXPECT_TRUE(SharePace::holds_among(1));
  EXPECT_TRUE(SharePace::holds_among(128));
  EXPECT_FALSE(SharePace::holds_among(129));
}

TEST_F(SharePaceTest, forgets_what_was_long_ago) {
  come(7, milliseconds(50));
  now_ += SharePace::kForgets;
  EXPECT_EQ(pace_.limit(now_), SharePace::kLeast);
  EXPECT_EQ(pace_.took(now_), util::Duration());
  come(1, milliseconds(50));
  EXPECT_EQ(pace_.limit(now_), SharePace::kLeast + kPiece);
}

TEST_F(SharePaceTest, goes_by_small_steps_where_little_comes) {
  come(1, milliseconds(900));
  for (int i = 0; i < 4; ++i) {
    const uint64_t limit = pace_.limit(now_);
    pace_.came({limit, milliseconds(50), limit}, now_);
    EXPECT_EQ(pace_.limit(now_), limit + std::min(limit, kPiece)) << "no more than as much again";
  }
}

TEST_F(SharePaceTest, knows_what_a_request_took_at_most_of_late) {
  come(1, milliseconds(800));
  EXPECT_EQ(pace_.took(now_), milliseconds(800));
  come(1, milliseconds(100));
  EXPECT_EQ(pace_.took(now_), milliseconds(700));
  come(50, milliseconds(100));
  EXPECT_EQ(pace_.took(now_), milliseconds(100));
}

/// Two nodes at one link of `kRate`, of which each has as much as it asks for part of all.
TEST_F(SharePaceTest, comes_to_equal_parts) {
  constexpr double kRate = 12e6;
  SharePace one, two;
  for (int i = 0; i < 12; ++i) one.came({kPiece, milliseconds(50), one.limit(now_)}, now_);
  ASSERT_GT(one.limit(now_), 10 * two.limit(now_));
  for (int i = 0; i < 200; ++i) {
    const auto both = static_cast<double>(one.limit(now_) + two.limit(now_));
    const auto took =
        std::chrono::duration_cast<util::Duration>(std::chrono::duration<double>(both / kRate));
    for (SharePace* pace : {&one, &two})
      for (auto left = static_cast<int64_t>(pace->limit(now_)); left > 0; left -= kPiece / 4)
        pace->came({kPiece / 4, took, pace->limit(now_)}, now_);
  }
  const auto first = static_cast<double>(one.limit(now_));
  const auto second = static_cast<double>(two.limit(now_));
  EXPECT_LT(std::abs(first / second - 1), 0.3);
  EXPECT_NEAR((first + second) / kRate, 0.5, 0.2) << "seconds";
}

}  // namespace
}  // namespace swarmfs::fetch
