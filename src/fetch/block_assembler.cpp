// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/block_assembler.h"

#include <algorithm>

namespace swarmfs::fetch {

std::optional<Block> BlockAssembler::next(util::ByteView& bytes) {
  const uint64_t length = std::min(chunk::kBlockSize, range_.end() - position_);
  if (length == 0) return std::nullopt;
  Block block{position_ / chunk::kBlockSize, {}};
  if (partial_.empty() && bytes.size() >= length) {
    block.bytes = bytes.first(length);
    bytes = bytes.subspan(length);
  } else {
    const auto fresh = bytes.first(std::min(length - partial_.size(), bytes.size()));
    partial_.insert(partial_.end(), fresh.begin(), fresh.end());
    bytes = bytes.subspan(fresh.size());
    if (partial_.size() < length) return std::nullopt;
    whole_.swap(partial_);
    partial_.clear();
    block.bytes = whole_;
  }
  position_ += length;
  return block;
}

}  // namespace swarmfs::fetch
