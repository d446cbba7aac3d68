// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "chunk/block.h"

#include <gtest/gtest.h>

namespace swarmfs::chunk {
namespace {

TEST(Block, a_range_is_covered_by_the_blocks_that_it_touches) {
  EXPECT_EQ(blocks_covering({0, 1}), (BlockRange{0, 1}));
  EXPECT_EQ(blocks_covering({kBlockSize - 1, 2}), (BlockRange{0, 2}));
  EXPECT_EQ(blocks_covering({kBlockSize, kBlockSize}), (BlockRange{1, 1}));
  EXPECT_TRUE(blocks_covering({40'000, 0}).empty());
}

TEST(Block, the_last_block_may_be_short) {
  EXPECT_EQ(block_count(0), 0u);
  EXPECT_EQ(block_count(kBlockSize + 1), 2u);
  EXPECT_EQ(bytes_of({1, 1}, kBlockSize + 5), (util::ByteRange{kBlockSize, 5}));
}

TEST(Block, the_chunk_size_is_a_fixed_rule) {
  EXPECT_EQ(chunk_size((64 << 20) - 1), 256u * 1024);
  EXPECT_EQ(chunk_size(64 << 20), 1024u * 1024);
}

}  // namespace
}  // namespace swarmfs::chunk
