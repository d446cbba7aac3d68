// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/copies.h"

#include <gtest/gtest.h>

#include <vector>

#include "chunk/block.h"

namespace swarmfs::swarm {
namespace {

constexpr uint64_t kBlocksInChunk = 16;
/// Three chunks, the last of five blocks, the last of these short.
constexpr uint64_t kLayer = (2 * kBlocksInChunk + 4) * chunk::kBlockSize + 1;

BlockSet with(const std::vector<chunk::BlockRange>& blocks, uint64_t layer = kLayer) {
  BlockSet made(chunk::block_count(layer));
  for (const auto& range : blocks) made.add(range);
  return made;
}

TEST(Copies, of_the_rarest_chunk) {
  const auto all = with({{0, 37}}), none = with({});
  const auto first = with({{0, 16}}), middle = with({{16, 16}}), last = with({{32, 5}});
  const std::pair<std::vector<BlockSet>, Copies> table[] = {
      {{}, {3, 0, 3}},
      {{none}, {3, 0, 3}},
      {{all}, {3, 1, 3}},
      {{all, all, all}, {3, 3, 3}},
      {{all, none}, {3, 1, 3}},
      {{all, first}, {3, 1, 2}},
      {{all, first, middle}, {3, 1, 1}},
      {{all, first, middle, last}, {3, 2, 3}},
      {{first, middle}, {3, 0, 1}},
      {{first, middle, last}, {3, 1, 3}},
      {{with({{0, 15}, {16, 21}})}, {3, 0, 1}},
      {{with({{1, 36}})}, {3, 0, 1}},
      {{with({{0, 36}})}, {3, 0, 1}},
      {{all, with({{0, 38}}, kLayer + chunk::kBlockSize)}, {3, 1, 3}},
  };
  for (const auto& [nodes, expected] : table) {
    const auto copies = count_copies(nodes, kLayer);
    EXPECT_EQ(copies.chunks, expected.chunks);
    EXPECT_EQ(copies.rarest, expected.rarest) << &nodes - &table[0].first;
    EXPECT_EQ(copies.as_rare, expected.as_rare);
  }
}

TEST(Copies, are_of_chunks_as_large_as_the_layer_asks_for) {
  const uint64_t large = 64ull << 20;
  auto lacking = with({{0, 4096}}, large);
  lacking.remove({1000, 1});
  EXPECT_EQ(count_copies(std::vector{lacking}, large), (Copies{64, 0, 1}));
  EXPECT_EQ(count_copies(std::vector{lacking, with({{0, 4096}}, large)}, large),
            (Copies{64, 1, 1}));
  EXPECT_EQ(count_copies(std::vector{with({}, 0)}, 0), (Copies{0, 0, 0}));
}

TEST(BlockSet, knows_whether_it_has_a_range_wherever_that_begins_and_ends) {
  for (uint64_t hole = 0; hole < 40; ++hole) {
    BlockSet set(40);
    set.add({0, 40});
    set.remove({hole, 1});
    for (uint64_t first = 0; first <= 40; ++first)
      for (uint64_t count = 0; first + count <= 40; ++count) {
        const bool holed = first <= hole && hole < first + count;
        ASSERT_EQ(set.has({first, count}), !holed) << hole << " " << first << " " << count;
      }
  }
}

TEST(BlockSet, adds_ranges_wherever_they_begin_and_end) {
  for (uint64_t first = 0; first <= 40; ++first)
    for (uint64_t count = 0; first + count <= 40; ++count) {
      BlockSet set(40);
      set.add({first, count});
      ASSERT_EQ(set.count(), count) << first;
      ASSERT_TRUE(set.has({first, count})) << first << " " << count;
    }
}

TEST(BlockSet, is_told_by_its_runs) {
  using Runs = std::vector<uint64_t>;
  const std::tuple<uint64_t, std::vector<chunk::BlockRange>, Runs> table[] = {
      {0, {}, {}},
      {1, {}, {1}},
      {1, {{0, 1}}, {0, 1}},
      {100, {}, {100}},
      {100, {{0, 100}}, {0, 100}},
      {100, {{10, 30}}, {10, 30, 60}},
      {100, {{0, 3}, {5, 1}, {64, 36}}, {0, 3, 2, 1, 58, 36}},
      {17, {{7, 2}, {16, 1}}, {7, 2, 7, 1}},
  };
  for (const auto& [count, blocks, runs] : table) {
    BlockSet set(count);
    for (const auto& one : blocks) set.add(one);
    EXPECT_EQ(set.runs(), runs) << count << " " << runs.size();
    EXPECT_EQ(BlockSet::of_runs(runs, count), set) << count << " " << runs.size();
  }
}

TEST(BlockSet, of_no_such_runs_is_refused) {
  const std::pair<std::vector<uint64_t>, uint64_t> table[] = {
      {{}, 1},     {{1}, 0},        {{99}, 100},     {{101}, 100},
      {{0}, 1},    {{0, 0, 5}, 5},  {{1, 0, 4}, 5},  {{1, 4, 0}, 5},
      {{2, 4}, 5}, {{2, ~0ull}, 1}, {{~0ull, 2}, 1}, {{1, ~0ull, 1}, 1},
  };
  for (const auto& [runs, count] : table)
    EXPECT_FALSE(BlockSet::of_runs(runs, count)) << count << " " << runs.size();
}

}  // namespace
}  // namespace swarmfs::swarm
