// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/bulk_order.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace swarmfs::fetch {
namespace {

using chunk::BlockRange;

constexpr uint64_t kWindow = 2048;  ///< blocks

TEST(BulkOrder, goes_round_in_each_window) {
  const std::tuple<uint64_t, uint64_t, double, BlockRange, const char*> table[] = {
      {0, 5000, 0, {0, kWindow}, "no turn: in order"},
      {kWindow, 5000, 0, {kWindow, kWindow}, "the next window"},
      {4096, 5000, 0, {4096, 904}, "the last, which is short"},
      {10, 5000, 0, {10, kWindow - 10}, "what is left of it"},
      {0, 5000, 0.5, {1024, 1024}, "from the middle to its end"},
      {1000, 5000, 0.5, {2024, 24}, "near its end"},
      {1024, 5000, 0.5, {0, 1024}, "then its beginning"},
      {kWindow, 5000, 0.5, {3072, 1024}, "the second window from its middle"},
      {4096, 5000, 0.5, {4544, 456}, "the last: whole chunks of 1 MiB"},
      {4096 + 456, 5000, 0.5, {4096, 448}, "and its beginning"},
      {0, 5000, 0.999, {1984, 64}, "never past the end"},
      {0, 63, 0.9, {0, 63}, "less than a chunk"},
      {7, 63, 0.9, {7, 56}, "in it"},
      {0, 1, 0.5, {0, 1}, "one block"},
  };
  for (const auto& [position, count, turn, expected, what] : table)
    EXPECT_EQ(blocks_at(position, count, turn), expected) << what;
}

TEST(BulkOrder, comes_by_every_block_once) {
  for (const uint64_t count : {1, 15, 64, 65, 2047, 2048, 2049, 5000})
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

}  // namespace
}  // namespace swarmfs::fetch
