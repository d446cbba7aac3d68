// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "chunk/block.h"

namespace swarmfs::chunk {

BlockRange blocks_covering(util::ByteRange range) noexcept {
  if (range.empty()) return {range.offset / kBlockSize, 0};
  const uint64_t first = range.offset / kBlockSize;
  return {first, (range.end() - 1) / kBlockSize - first + 1};
}

util::ByteRange bytes_of(BlockRange blocks, uint64_t size) noexcept {
  return util::ByteRange{blocks.first * kBlockSize, blocks.count * kBlockSize}.clamp(size);
}

}  // namespace swarmfs::chunk
