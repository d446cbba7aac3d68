// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "image/merged_tree.h"
#include "layer/indexer.h"
#include "support/tar_maker.h"

namespace swarmfs::image {
namespace {

using support::TarMaker;

std::shared_ptr<const layer::LayerIndex> indexed(const TarMaker& tar) {
  layer::Indexer indexer;
  indexer.feed(util::as_bytes(tar.finish()));
  return std::make_shared<const layer::LayerIndex>(indexer.finish());
}

/// "a/b a/c d" of every path, with the layer that gives it: "a/b:1".
std::string listing(const MergedTree& tree, NodeIndex at = 0, const std::string& path = "") {
  std::string made;
  for (const auto& [name, child] : tree.node(at).children) {
    made += path + name + ":" + std::to_string(tree.node(child).layer) + " ";
    made += listing(tree, child, path + name + "/");
  }
  return made;
}

TEST(MergedTree, follows_the_rules_of_the_image_spec) {
  TarMaker bottom, middle, top;
  bottom.directory("a")
      .file("a/gone", "1")
      .file("a/kept", "1")
      .directory("opq")
      .file("opq/old", "1");
  bottom.file("file-to-directory", "1")
      .directory("directory-to-file")
      .file("directory-to-file/x", "1");
  middle.directory("a").file("a/.wh.gone", "").directory("opq").file("opq/.wh..wh..opq", "");
  middle.file("opq/new", "2").file("implied/deep/x", "2");
  top.directory("file-to-directory")
      .file("file-to-directory/in", "3")
      .file("directory-to-file", "3");
  top.hard_link("link", "a/kept").file(".wh.implied", "");
  const MergedTree tree({indexed(bottom), indexed(middle), indexed(top)});
  EXPECT_EQ(listing(tree),
            "a:1 a/kept:0 directory-to-file:2 file-to-directory:2 file-to-directory/in:2 link:0 "
            "opq:1 opq/new:1 ");
  const auto a = *tree.find(tree.root(), "a");
  EXPECT_EQ(tree.find(a, "kept"), tree.find(tree.root(), "link"));
  EXPECT_EQ(tree.node(*tree.find(a, "kept")).links, 2u);
}

TEST(MergedTree, a_whiteout_of_its_own_layer_hides_nothing_of_it) {
  TarMaker bottom, top;
  bottom.file("x", "1");
  top.file(".wh.x", "").file("x", "2");
  const MergedTree tree({indexed(bottom), indexed(top)});
  EXPECT_EQ(listing(tree), "x:1 ");
}

}  // namespace
}  // namespace swarmfs::image
