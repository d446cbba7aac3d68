// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/held_block.h"

#include <gtest/gtest.h>

namespace swarmfs::fetch {
namespace {

TEST(HeldBlock, the_block_is_the_next_that_is_here) {
  using Runs = std::vector<chunk::BlockRange>;
  const struct {
    uint64_t start, count;
    Runs missing;
    std::optional<uint64_t> expected;
  } table[] = {
      {0, 1, {}, 0},
      {0, 1, {{0, 1}}, {}},
      {5, 10, {}, 5},
      {5, 10, {{5, 2}}, 7},
      {5, 10, {{5, 5}}, 0},
      {5, 10, {{0, 2}, {5, 5}}, 2},
      {9, 10, {{9, 1}}, 0},
      {3, 10, {{0, 10}}, {}},
      {4, 10, {{0, 4}}, 4},
      {2, 10, {{0, 4}, {5, 5}}, 4},
      {6, 10, {{4, 6}}, 0},
      {4, 10, {{3, 1}, {5, 1}}, 4},
      {8, 10, {{0, 1}, {2, 8}}, 1},
  };
  for (const auto& row : table)
    EXPECT_EQ(present_from(row.start, row.count, row.missing), row.expected) << row.start;
}

}  // namespace
}  // namespace swarmfs::fetch
