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
  return std::make_shared<const layer::LayerIndex>(indexer.finish().index);
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

TEST(MergedTree, a_directory_of_a_path_replaces_a_link_of_a_lower_layer) {
  // So does containerd with overlayfs: it unpacks into the upper folder alone, and takes the
  // attributes from what the link leads to below.
  TarMaker bottom, top;
  bottom.directory("usr/bin", 0751).file("usr/bin/sh", "1").symlink("bin", "usr/bin");
  bottom.directory("a").symlink("a/sbin", "../bin");
  top.file("bin/tool", "2").file("a/sbin/.wh.sh", "");
  const MergedTree tree({indexed(bottom), indexed(top)});
  EXPECT_EQ(listing(tree), "a:0 a/sbin:0 bin:0 bin/tool:1 usr:0 usr/bin:0 usr/bin/sh:0 ");
}

TEST(MergedTree, a_directory_of_a_path_has_the_attributes_of_what_the_link_led_to) {
  TarMaker bottom, top;
  bottom.directory("usr/bin", 0751).symlink("bin", "usr/bin").symlink("gone", "nowhere");
  top.file("bin/tool", "2").file("gone/x", "2");
  const auto below = indexed(bottom), above = indexed(top);
  const MergedTree tree({below, above});
  const auto& bin = tree.node(*tree.find(tree.root(), "bin"));
  ASSERT_EQ(bin.layer, 0u);
  EXPECT_EQ(below->files.inode(bin.inode).mode, 0751u);
  const auto& gone = tree.node(*tree.find(tree.root(), "gone"));
  ASSERT_EQ(gone.layer, 1u);
  EXPECT_EQ(above->files.inode(gone.inode).mode, 0755u);
}

TEST(MergedTree, finds_the_targets_of_hard_links_behind_links) {
  TarMaker bottom, top;
  bottom.file("usr/bin/sh", "1").symlink("bin", "usr/bin").symlink("loop", "loop");
  bottom.symlink("long", std::string(99, 'x')).symlink("far", "/../bin");
  top.hard_link("a", "bin/sh").hard_link("b", "far/sh").hard_link("c", "loop/sh");
  top.hard_link("d", "long/sh").symlink("own", "usr").hard_link("e", "own/bin/sh");
  top.hard_link("f", "usr/bin").hard_link("g", "bin").hard_link("h/i", "bin/sh");
  const MergedTree tree({indexed(bottom), indexed(top)});
  EXPECT_EQ(listing(tree),
            "a:0 b:0 bin:0 e:0 far:0 g:0 h:1 h/i:0 long:0 loop:0 own:1 usr:0 usr/bin:0 "
            "usr/bin/sh:0 ");
  const auto a = *tree.find(tree.root(), "a");
  EXPECT_EQ(tree.find(tree.root(), "b"), a);
  EXPECT_EQ(tree.find(tree.root(), "e"), a);
  EXPECT_EQ(tree.node(a).links, 5u);
  EXPECT_EQ(tree.find(tree.root(), "g"), tree.find(tree.root(), "bin"));
}

TEST(MergedTree, a_link_cannot_take_the_place_of_a_name_of_its_layer) {
  // No builder makes such a table, but an index may come from another node.
  layer::Inode directory;
  directory.type = layer::FileType::directory;
  auto hostile = std::make_shared<layer::LayerIndex>();
  hostile->files = layer::FileTable({directory, directory}, {{{{"d", 1}}, {}}, {}},
                                    {{0, "d", "x"}, {1, "y", "x"}});
  TarMaker bottom;
  bottom.file("x", "1");
  EXPECT_EQ(listing(MergedTree({indexed(bottom), hostile})), "d:1 d/y:0 x:0 ");
}

}  // namespace
}  // namespace swarmfs::image
