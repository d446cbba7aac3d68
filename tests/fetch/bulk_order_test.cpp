// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/bulk_order.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace swarmfs::fetch {
namespace {

using chunk::BlockRange;

constexpr uint64_t kWindow = 8192;  ///< blocks

TEST(BulkOrder, goes_round_in_each_window) {
  const std::tuple<uint64_t, uint64_t, double, BlockRange, const char*> table[] = {
      {0, 20'000, 0, {0, kWindow}, "no turn: in order"},
      {kWindow, 20'000, 0, {kWindow, kWindow}, "the next window"},
      {16'384, 20'000, 0, {16'384, 3616}, "the last, which is short"},
      {10, 20'000, 0, {10, kWindow - 10}, "what is left of it"},
      {0, 20'000, 0.5, {4096, 4096}, "from the middle to its end"},
      {4000, 20'000, 0.5, {8096, 96}, "near its end"},
      {4096, 20'000, 0.5, {0, 4096}, "then its beginning"},
      {kWindow, 20'000, 0.5, {kWindow + 4096, 4096}, "the second window from its middle"},
      {16'384, 20'000, 0.5, {18'176, 1824}, "the last: whole chunks of 1 MiB"},
      {16'384 + 1824, 20'000, 0.5, {16'384, 1792}, "and its beginning"},
      {0, 20'000, 0.999, {8128, 64}, "never past the end"},
      {0, 63, 0.9, {0, 63}, "less than a chunk"},
      {7, 63, 0.9, {7, 56}, "in it"},
      {0, 1, 0.5, {0, 1}, "one block"},
  };
  for (const auto& [position, count, turn, expected, what] : table)
    EXPECT_EQ(blocks_at(position, count, turn), expected) << what;
}

TEST(BulkOrder, comes_by_every_block_once) {
  for (const uint64_t count : {1, 15, 64, 65, 8191, 8192, 8193, 20'000})
    for (const double turn : {0.0, 0.1, 0.5, 0.77, 0.9999}) {
      std::vector<unsigned> seen(count);
      for (uint64_t position = 0; position < count;) {
        const auto blocks = blocks_at(position, count, turn);
        ASSERT_GT(blocks.count, 0u);
        ASSERT_LE(blocks.end(), count);
        for (uint64_t block = blocks.first; block < blocks.end(); ++block) ++seen[block];
        position += blocks.count;
      }
      EXPECT_EQ(seen, std::vector<unsigned>(count, 1)) << count << " blocks, turn " << turn;
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

TEST(BulkOrder, waits_for_shares_of_others_with_a_quarter_of_it) {
  EXPECT_TRUE(may_wait_for_share(0, 12));
  EXPECT_TRUE(may_wait_for_share(2, 12));
  EXPECT_FALSE(may_wait_for_share(3, 12));
  EXPECT_FALSE(may_wait_for_share(12, 12));
}

}  // namespace
}  // namespace swarmfs::fetch
