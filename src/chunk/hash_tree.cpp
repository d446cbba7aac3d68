// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "chunk/hash_tree.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <span>
#include <utility>

namespace swarmfs::chunk {

using util::Digest;

namespace {

/// Halves a layer of the tree; an odd one gets `padding`, which becomes that of the layer above.
std::vector<Digest> layer_above(std::vector<Digest> nodes, Digest& padding) {
  util::Sha256 hash;
  const auto join = [&](const Digest& left, const Digest& right) {
    hash.update(left.bytes());
    hash.update(right.bytes());
    return hash.finish();
  };
  if (nodes.size() % 2) nodes.push_back(padding);
  for (size_t i = 0; i < nodes.size() / 2; ++i) nodes[i] = join(nodes[2 * i], nodes[2 * i + 1]);
  nodes.resize(nodes.size() / 2);
  padding = join(padding, padding);
  return nodes;
}

}  // namespace

HashTree::HashTree(uint64_t size, std::vector<Digest> leaves)
    : size_(size), leaves_(std::move(leaves)) {
  assert(leaves_.size() == block_count(size_));
  Digest padding;
  auto nodes = leaves_;
  while (nodes.size() > 1) nodes = layer_above(std::move(nodes), padding);
  if (!nodes.empty()) root_ = nodes.front();
}

std::optional<HashTree> HashTree::from_leaves(uint64_t size, util::ByteView leaf_bytes,
                                              const Digest& root) {
  const uint64_t count = leaf_bytes.size() / sizeof(Digest);
  // The first comparison keeps an absurd size from overflowing in block_count.
  if (leaf_bytes.size() % sizeof(Digest) || size > count * kBlockSize || count != block_count(size))
    return std::nullopt;
  std::vector<Digest> leaves(count);
  if (count) std::memcpy(leaves.data(), leaf_bytes.data(), leaf_bytes.size());
  HashTree tree(size, std::move(leaves));
  if (tree.root() != root) return std::nullopt;
  return tree;
}

std::vector<Digest> HashTree::piece_layer() const {
  const uint64_t piece = chunk_size(size_);
  if (size_ <= piece) return {};
  Digest padding;
  auto nodes = leaves_;
  for (int level = std::countr_zero(piece / kBlockSize); level > 0; --level)
    nodes = layer_above(std::move(nodes), padding);
  return nodes;
}

bool HashTree::matches(BlockIndex index, util::ByteView block) const {
  const auto at = static_cast<uint64_t>(index);
  assert(at < leaves_.size());
  return block.size() == bytes_of({at, 1}, size_).length && util::Sha256::of(block) == leaves_[at];
}

util::Bytes HashTree::leaf_bytes() const {
  const auto view = std::as_bytes(std::span(leaves_));
  return {view.begin(), view.end()};
}

void HashTreeBuilder::feed(util::ByteView bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min<uint64_t>(bytes.size(), kBlockSize - in_block_));
    hash_.update(part);
    in_block_ += part.size();
    bytes = bytes.subspan(part.size());
    if (in_block_ == kBlockSize) end_block();
  }
}

HashTree HashTreeBuilder::finish() {
  if (in_block_) end_block();
  return {std::exchange(size_, 0), std::exchange(leaves_, {})};
}

void HashTreeBuilder::end_block() {
  leaves_.push_back(hash_.finish());
  in_block_ = 0;
}

}  // namespace swarmfs::chunk
