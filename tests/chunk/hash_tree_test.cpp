// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "chunk/hash_tree.h"

#include <gtest/gtest.h>

namespace swarmfs::chunk {
namespace {

using util::Bytes;
using util::ByteView;
using util::Digest;

/// The bytes from which the roots below were computed, with Python and the text of BEP 52.
Bytes counted(size_t size) {
  Bytes made(size);
  for (size_t i = 0; i < size; ++i) made[i] = static_cast<std::byte>(i * 31 + (i >> 14));
  return made;
}

HashTree tree_of(ByteView bytes) {
  HashTreeBuilder builder;
  builder.feed(bytes);
  return builder.finish();
}

Digest joined(const Digest& left, const Digest& right) {
  util::Sha256 hash;
  hash.update(left.bytes());
  hash.update(right.bytes());
  return hash.finish();
}

/// BEP 52 to the letter: the root of `width` (a power of two) leaves from `first`.
Digest padded_root(const std::vector<Digest>& leaves, size_t first, size_t width) {
  if (width == 1) return first < leaves.size() ? leaves[first] : Digest();
  return joined(padded_root(leaves, first, width / 2),
                padded_root(leaves, first + width / 2, width / 2));
}

TEST(HashTree, has_the_root_that_bep_52_defines) {
  const struct {
    size_t size;
    const char* root;
  } known[] = {
      {1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
      {16384, "de63d66fe69e92478f8282a17697dd0d961dd69f2f622c019f8d2ed1ef0ee691"},
      {16385, "e0f601f8339dc2837b9d9918499cce63e8cb6f8e10cf74798bfd2c96a0d66a9d"},
      {81920, "ec850ed5f93f9d9020711c5a265a5236e80699bf65e3b30b193e2abf60de78f3"},
      {262144, "cb3d024c6c1f5521cd9744855d62bcdfe83abfc425f768f9d15e8c690b1cf125"},
      {262145, "9c21b9185efc16bd175964d70281d78a6805d86e417bbf979ec7fcc9e74292a5"},
      {786437, "5d75f241209a2981774604fd32e4789df6052e3866f8b39ab6fd16d0448964a0"},
  };
  for (const auto& one : known) {
    const auto tree = tree_of(counted(one.size));
    EXPECT_EQ(tree.root().hex(), one.root) << one.size;
    EXPECT_EQ(tree.size(), one.size);
    EXPECT_EQ(tree.leaves().size(), block_count(one.size));
  }
}

TEST(HashTree, a_layer_of_no_bytes_has_no_leaves_and_a_root_of_zeros) {
  const auto tree = HashTreeBuilder().finish();
  EXPECT_EQ(tree.size(), 0u);
  EXPECT_TRUE(tree.leaves().empty());
  EXPECT_EQ(tree.root(), Digest());
  EXPECT_TRUE(HashTree::from_leaves(0, {}, Digest()));
}

TEST(HashTree, the_pieces_of_the_stream_do_not_matter) {
  const auto bytes = counted(100'000);
  HashTreeBuilder builder;
  for (size_t at = 0, step = 1; at < bytes.size(); at += step, step = step * 3 % 40'961)
    builder.feed(ByteView(bytes).subspan(at, std::min(step, bytes.size() - at)));
  EXPECT_EQ(builder.finish().root(), tree_of(bytes).root());
  builder.feed(ByteView(bytes).first(1));
  EXPECT_EQ(builder.finish().root(), tree_of(ByteView(bytes).first(1)).root()) << "starts afresh";
}

TEST(HashTree, the_piece_layer_has_a_hash_for_each_chunk_and_leads_to_the_root) {
  const auto tree = tree_of(counted(5 * 256 * 1024 + 3 * kBlockSize + 1));
  const auto pieces = tree.piece_layer();
  ASSERT_EQ(pieces.size(), 6u);
  for (size_t i = 0; i < pieces.size(); ++i)
    EXPECT_EQ(pieces[i], padded_root(tree.leaves(), i * 16, 16));
  Digest empty_piece;
  for (int level = 0; level < 4; ++level) empty_piece = joined(empty_piece, empty_piece);
  EXPECT_EQ(tree.root(),
            joined(joined(joined(pieces[0], pieces[1]), joined(pieces[2], pieces[3])),
                   joined(joined(pieces[4], pieces[5]), joined(empty_piece, empty_piece))));
}

TEST(HashTree, the_piece_layer_of_a_large_layer_is_one_of_mebibytes) {
  const uint64_t size = (64 << 20) + 5;
  std::vector<Digest> leaves(block_count(size), util::Sha256::of(util::as_bytes("leaf")));
  const HashTree tree(size, leaves);
  const auto pieces = tree.piece_layer();
  ASSERT_EQ(pieces.size(), 65u);
  EXPECT_EQ(pieces[0], padded_root(leaves, 0, 64));
  EXPECT_EQ(pieces[64], padded_root(leaves, 64 * 64, 64));
}

TEST(HashTree, a_layer_of_at_most_one_chunk_has_no_piece_layer) {
  EXPECT_TRUE(tree_of(counted(1)).piece_layer().empty());
  EXPECT_TRUE(tree_of(counted(256 * 1024)).piece_layer().empty());
  EXPECT_EQ(tree_of(counted(256 * 1024 + 1)).piece_layer().size(), 2u);
}

TEST(HashTree, knows_its_blocks_from_all_others) {
  const auto bytes = counted(2 * kBlockSize + 100);
  const auto tree = tree_of(bytes);
  const ByteView view(bytes);
  EXPECT_TRUE(tree.matches(BlockIndex{1}, view.subspan(kBlockSize, kBlockSize)));
  EXPECT_TRUE(tree.matches(BlockIndex{2}, view.subspan(2 * kBlockSize)));
  EXPECT_FALSE(tree.matches(BlockIndex{0}, view.subspan(kBlockSize, kBlockSize)));
  EXPECT_FALSE(tree.matches(BlockIndex{2}, view.subspan(2 * kBlockSize, 99)));
  auto damaged = counted(kBlockSize);
  EXPECT_TRUE(tree.matches(BlockIndex{0}, damaged));
  damaged[9'000] ^= std::byte{1};
  EXPECT_FALSE(tree.matches(BlockIndex{0}, damaged));
}

TEST(HashTree, comes_back_from_its_leaves) {
  const auto tree = tree_of(counted(300'000));
  const auto leaves = tree.leaf_bytes();
  EXPECT_EQ(leaves.size(), 32 * block_count(300'000));
  const auto again = HashTree::from_leaves(300'000, leaves, tree.root());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->leaves(), tree.leaves());
  EXPECT_EQ(again->size(), 300'000u);
}

TEST(HashTree, leaves_that_do_not_fit_size_and_root_are_refused) {
  const auto tree = tree_of(counted(300'000));
  const auto leaves = tree.leaf_bytes();
  const ByteView view(leaves);
  EXPECT_FALSE(HashTree::from_leaves(300'000, view.first(view.size() - 32), tree.root()));
  EXPECT_FALSE(HashTree::from_leaves(300'000, view.first(view.size() - 1), tree.root()));
  EXPECT_FALSE(HashTree::from_leaves(300'000 + kBlockSize, view, tree.root()));
  EXPECT_FALSE(HashTree::from_leaves(UINT64_MAX, {}, Digest()));
  EXPECT_FALSE(HashTree::from_leaves(UINT64_MAX, view, tree.root()));
  EXPECT_FALSE(HashTree::from_leaves(300'000, view, Digest()));
  auto damaged = leaves;
  damaged[40] ^= std::byte{1};
  EXPECT_FALSE(HashTree::from_leaves(300'000, damaged, tree.root()));
}

}  // namespace
}  // namespace swarmfs::chunk
