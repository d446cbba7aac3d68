// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>

#include "chunk/block.h"
#include "util/units.h"

namespace swarmfs::fetch {

/// One block of a layer; `bytes` is shorter than a block only at the layer's end.
struct Block {
  uint64_t index = 0;
  util::ByteView bytes;
};

/// Cuts what comes in pieces of any size into the blocks of a range. Not synchronised.
class BlockAssembler {
 public:
  /// `range` goes from a block's start to a block's end or the layer's.
  explicit BlockAssembler(util::ByteRange range) : range_(range), position_(range.offset) {}

  /// Takes bytes from the front of `bytes` until a block is whole; the view is valid until the next
  /// call or until the memory behind `bytes` goes. Empty: it took all there was and needs more, or
  /// the range is complete.
  std::optional<Block> next(util::ByteView& bytes);
  /// All blocks were handed out: what still comes is surplus.
  [[nodiscard]] bool complete() const { return position_ == range_.end(); }

 private:
  util::ByteRange range_;
  uint64_t position_;  ///< of the block under way
  util::Bytes partial_, whole_;
};

}  // namespace swarmfs::fetch
