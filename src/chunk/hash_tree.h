// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "chunk/block.h"
#include "util/digest.h"
#include "util/units.h"

namespace swarmfs::chunk {

/// The BEP 52 hash tree of one layer: SHA-256 of each block (the last one hashed at its own
/// length), leaves of zeros up to a power of two, a binary tree over them. Immutable; any thread;
/// shared as std::shared_ptr<const HashTree>.
class HashTree {
 public:
  /// Requires one leaf for each of block_count(size) blocks.
  HashTree(uint64_t size, std::vector<util::Digest> leaves);
  /// The tree that a file or a peer gives: `leaf_bytes` as of leaf_bytes(). Empty result: they are
  /// not the leaves of a layer of `size` bytes with this root.
  static std::optional<HashTree> from_leaves(uint64_t size, util::ByteView leaf_bytes,
                                             const util::Digest& root);

  [[nodiscard]] uint64_t size() const { return size_; }
  /// BEP 52 `pieces root`. Zeros for a layer of no bytes, which has none.
  [[nodiscard]] const util::Digest& root() const { return root_; }
  [[nodiscard]] const std::vector<util::Digest>& leaves() const { return leaves_; }
  /// One hash per chunk of chunk_size(size()). Empty for a layer of at most one chunk: there the
  /// root says it all, and BEP 52 has no piece layer.
  [[nodiscard]] std::vector<util::Digest> piece_layer() const;
  /// Whether `block` is the whole block at `index` (inside the layer), byte for byte.
  [[nodiscard]] bool matches(BlockIndex index, util::ByteView block) const;
  /// 32 bytes per block.
  [[nodiscard]] util::Bytes leaf_bytes() const;

 private:
  uint64_t size_;
  std::vector<util::Digest> leaves_;
  util::Digest root_;
};

/// Makes the tree of bytes that stream past. Not thread-safe.
class HashTreeBuilder {
 public:
  /// The next bytes of the layer, in pieces of any size.
  void feed(util::ByteView bytes);
  /// The tree of all that was fed; the builder starts afresh.
  [[nodiscard]] HashTree finish();

 private:
  void end_block();

  util::Sha256 hash_;
  uint64_t size_ = 0;
  uint64_t in_block_ = 0;  ///< bytes of the block that is not complete yet
  std::vector<util::Digest> leaves_;
};

}  // namespace swarmfs::chunk
