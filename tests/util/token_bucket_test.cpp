// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/token_bucket.h"

#include <gtest/gtest.h>

namespace swarmfs::util {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const SteadyTime kStart{seconds(1000)};

TEST(TokenBucket, lets_a_second_go_at_once_and_then_spaces) {
  TokenBucket bucket(10, kStart);
  int went = 0;
  for (; bucket.open(kStart); ++went) bucket.take(1, kStart);
  EXPECT_EQ(went, 10);
  const auto pause = bucket.wait(kStart);
  EXPECT_NEAR(std::chrono::duration<double>(pause).count(), 0.1, 0.001);
  EXPECT_TRUE(bucket.open(kStart + pause));
  bucket.take(1, kStart + pause);
  EXPECT_FALSE(bucket.open(kStart + pause));
}

TEST(TokenBucket, takes_back_what_was_not_used_up_to_a_second) {
  TokenBucket bucket(10, kStart);
  bucket.take(100, kStart);
  EXPECT_FALSE(bucket.open(kStart));
  bucket.give_back(100, kStart);
  EXPECT_TRUE(bucket.open(kStart));
  bucket.give_back(100, kStart);
  bucket.take(10, kStart);
  EXPECT_FALSE(bucket.open(kStart)) << "never more than a second's worth";
}

TEST(TokenBucket, what_is_larger_than_a_second_passes_once_and_is_made_up_for) {
  TokenBucket bucket(100, kStart);
  bucket.take(250, kStart);
  EXPECT_FALSE(bucket.open(kStart + milliseconds(1500)));
  EXPECT_TRUE(bucket.open(kStart + milliseconds(1511)));
  bucket.take(100, kStart + seconds(100));
  EXPECT_FALSE(bucket.open(kStart + seconds(100)));
}

TEST(TokenBucket, less_than_one_a_second_is_one_now_and_then) {
  TokenBucket bucket(0.25, kStart);
  bucket.take(1, kStart);
  EXPECT_FALSE(bucket.open(kStart + milliseconds(3900)));
  EXPECT_TRUE(bucket.open(kStart + milliseconds(4100)));
  bucket.take(1, kStart + seconds(60));
  EXPECT_FALSE(bucket.open(kStart + seconds(60))) << "it does not add up";
}

TEST(TokenBucket, knows_no_limit_at_rate_0_and_takes_others_as_they_come) {
  TokenBucket bucket(0, kStart);
  bucket.take(1e12, kStart);
  EXPECT_TRUE(bucket.open(kStart));
  bucket.set_rate(10, kStart);
  EXPECT_TRUE(bucket.open(kStart));
  bucket.take(10, kStart);
  bucket.set_rate(1, kStart);
  EXPECT_NEAR(std::chrono::duration<double>(bucket.wait(kStart)).count(), 1, 0.001);
  bucket.set_rate(100, kStart);
  EXPECT_NEAR(std::chrono::duration<double>(bucket.wait(kStart)).count(), 0.01, 0.001);
}

}  // namespace
}  // namespace swarmfs::util
