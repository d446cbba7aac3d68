// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/bulk_order.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace swarmfs::fetch {
namespace {

using chunk::BlockRange;

constexpr uint64_t kWindow = 512;  ///< blocks

TEST(BulkOrder, goes_round_in_each_window) {
  const std::tuple<uint64_t, uint64_t, double, BlockRange, const char*> table[] = {
      {0, 1250, 0, {0, kWindow}, "no turn: in order"},
      {kWindow, 1250, 0, {kWindow, kWindow}, "the next window"},
      {1024, 1250, 0, {1024, 226}, "the last, which is short"},
      {10, 1250, 0, {10, kWindow - 10}, "what is left of it"},
      {0, 1250, 0.5, {256, 256}, "from the middle to its end"},
      {250, 1250, 0.5, {506, 6}, "near its end"},
      {256, 1250, 0.5, {0, 256}, "then its beginning"},
      {kWindow, 1250, 0.5, {kWindow + 256, 256}, "the second window from its middle"},
      {1024, 1250, 0.5, {1088, 162}, "the last: whole chunks of 1 MiB"},
      {1024 + 162, 1250, 0.5, {1024, 64}, "and its beginning"},
      {0, 1250, 0.999, {448, 64}, "never past the end"},
      {0, 63, 0.9, {0, 63}, "less than a chunk"},
      {7, 63, 0.9, {7, 56}, "in it"},
      {0, 1, 0.5, {0, 1}, "one block"},
  };
  for (const auto& [position, count, turn, expected, what] : table)
    EXPECT_EQ(blocks_at(position, count, {turn, false}), expected) << what;
}

TEST(BulkOrder, of_a_crowd_has_larger_windows) {
  EXPECT_EQ(order_among(0, 0.5), BulkOrder());
  EXPECT_EQ(order_among(8, 0.5), (BulkOrder{0.5, false}));
  EXPECT_EQ(order_among(9, 0.5), (BulkOrder{0.5, true}));
  EXPECT_EQ(blocks_at(0, 20'000, {0.5, true}), (BlockRange{4096, 4096}));
  EXPECT_EQ(blocks_at(4096, 20'000, {0.5, true}), (BlockRange{0, 4096}));
  EXPECT_EQ(blocks_at(16'384, 20'000, {0.5, true}), (BlockRange{18'176, 1824}));
}

TEST(BulkOrder, comes_by_a_block_after_its_window_began) {
  constexpr uint64_t kCount = 20'000;
  for (const BulkOrder order : {BulkOrder{}, BulkOrder{0.4}, BulkOrder{0.6, true}})
    for (uint64_t position = 0; position < kCount; position += 7)
      EXPECT_LE(window_begin(blocks_at(position, kCount, order).first, order), position);
}

TEST(BulkOrder, comes_by_every_block_once) {
  for (const uint64_t count : {1, 15, 64, 65, 511, 512, 513, 8193, 20'000})
    for (const BulkOrder order :
         {BulkOrder{}, BulkOrder{0.1}, BulkOrder{0.5}, BulkOrder{0.77, true}, BulkOrder{0.9999}}) {
      std::vector<unsigned> seen(count);
      for (uint64_t position = 0; position < count;) {
        const auto blocks = blocks_at(position, count, order);
        ASSERT_GT(blocks.count, 0u);
        ASSERT_LE(blocks.end(), count);
        for (uint64_t block = blocks.first; block < blocks.end(); ++block) ++seen[block];
        position += blocks.count;
      }
      EXPECT_EQ(seen, std::vector<unsigned>(count, 1)) << count << " blocks, turn " << order.turn;
    }
}

TEST(BulkOrder, leaves_to_others_what_is_theirs_no_longer_than_that_spares_a_link) {
  const util::SteadyTime now{std::chrono::hours(1)};
  const auto ago = [&](double waits) {
    return now - std::chrono::duration_cast<util::Duration>(waits * kStandInAfter);
  };
  EXPECT_TRUE(leaves_to_others(now, ago(0.5), {}, false)) << "more of our own is to be asked for";
  EXPECT_TRUE(leaves_to_others(now, ago(0.5), ago(0.5), false));
  EXPECT_FALSE(leaves_to_others(now, ago(0.5), ago(1.5), false));
  EXPECT_TRUE(leaves_to_others(now, ago(0.5), ago(1.5), true));
  EXPECT_FALSE(leaves_to_others(now, ago(1), {}, true)) << "nothing comes";
}

TEST(BulkOrder, stands_in_later_where_the_registry_is_slow) {
  EXPECT_EQ(stands_in_after({}), kStandInAfter);
  EXPECT_EQ(stands_in_after(std::chrono::milliseconds(100)), kStandInAfter);
  EXPECT_EQ(stands_in_after(std::chrono::milliseconds(700)), std::chrono::milliseconds(2'800));
  EXPECT_EQ(stands_in_after(std::chrono::minutes(1)), std::chrono::seconds(10));
}

TEST(BulkOrder, waits_for_shares_of_others_with_a_quarter_of_it) {
  EXPECT_TRUE(may_wait_for_share(0, 12));
  EXPECT_TRUE(may_wait_for_share(2, 12));
  EXPECT_FALSE(may_wait_for_share(3, 12));
  EXPECT_FALSE(may_wait_for_share(12, 12));
}

}  // namespace
}  // namespace swarmfs::fetch
