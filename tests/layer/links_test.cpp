// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "layer/bad_layer.h"
#include "layer/file_table_builder.h"
#include "layer/indexer.h"
#include "support/tar_maker.h"

namespace swarmfs::layer {
namespace {

using support::TarMaker;

FileTable files_of(const TarMaker& tar) {
  Indexer indexer;
  indexer.feed(util::as_bytes(tar.finish()));
  return indexer.finish().index.files;
}

/// Every path: "dir/ dir/file=size dir/link>target"; whiteouts as "dir/!name", foreign links as
/// "dir/name^target".
std::string listing(const FileTable& files, InodeIndex at = 0, const std::string& path = "") {
  std::string made;
  for (const auto& name : files.whiteouts(at)) made += path + "!" + name + " ";
  for (const auto& [name, child] : files.children(at)) {
    const auto& inode = files.inode(child);
    made += path + name;
    if (inode.type == FileType::directory)
      made +=
          std::string(inode.opaque ? "/opaque " : "/ ") + listing(files, child, path + name + "/");
    else if (inode.type == FileType::symlink)
      made += ">" + inode.symlink_target + " ";
    else
      made += "=" + std::to_string(inode.size) + " ";
  }
  for (const auto& link : files.foreign_links())
    if (link.parent == at) made += path + link.name + "^" + link.target_path + " ";
  return made;
}

struct Layout {
  const char* name;
  TarMaker tar;
  const char* listing;  ///< what containerd 1.6.20 unpacks
};

std::vector<Layout> layouts() {
  return {
      {"a relative link", TarMaker().symlink("bin", "usr/bin").file("bin/tool", "1"),
       "bin>usr/bin usr/ usr/bin/ usr/bin/tool=1 "},
      {"an absolute link is one from the root",
       TarMaker().directory("a/b").symlink("a/b/l", "/usr").file("a/b/l/x", "1"),
       "a/ a/b/ a/b/l>/usr usr/ usr/x=1 "},
      {"links end at the root",
       TarMaker()
           .symlink("up", "../../../usr")
           .file("up/u", "1")
           .symlink("top", "/..")
           .file("top/t", "1"),
       "t=1 top>/.. up>../../../usr usr/ usr/u=1 "},
      {"a link over a link",
       TarMaker().symlink("bin", "usr/bin").symlink("s", "/bin").file("s/two", "12"),
       "bin>usr/bin s>/bin usr/ usr/bin/ usr/bin/two=2 "},
      {"of a path .. is taken back before links are looked at",
       TarMaker().directory("p/q/r").symlink("l", "p/q/r").file("l/../n", "1"),
       "l>p/q/r n=1 p/ p/q/ p/q/r/ "},
      {"of a target as well, but from where the link is",
       TarMaker()
           .directory("p/q/r")
           .symlink("l", "p/q/r")
           .symlink("p/q/r/e", "no/../../z")
           .file("l/e/f", "1"),
       "l>p/q/r p/ p/q/ p/q/r/ p/q/r/e>no/../../z p/q/z/ p/q/z/f=1 "},
      {"the last name is not followed", TarMaker().file("f", "1").symlink("l", "f").file("l", "12"),
       "f=1 l=2 "},
      {"a directory replaces a link",
       TarMaker().symlink("a", "b").file("a/x", "1").directory("a").file("a/y", "12"),
       "a/ a/y=2 b/ b/x=1 "},
      {"a link replaces a directory",
       TarMaker().file("a/x", "1").symlink("a", "b").file("a/y", "12"), "a>b b/ b/y=2 "},
      {"a whiteout through a link", TarMaker().symlink("b", "usr/bin").file("b/.wh.sh", ""),
       "b>usr/bin usr/ usr/bin/ usr/bin/!sh "},
      {"an opaque directory through a link",
       TarMaker().symlink("b", "usr/bin").file("b/new", "1").file("b/.wh..wh..opq", ""),
       "b>usr/bin usr/ usr/bin/opaque usr/bin/new=1 "},
      {"a hard link to what is behind a link",
       TarMaker().symlink("bin", "usr/bin").file("bin/tool", "1").hard_link("hard", "bin/tool"),
       "bin>usr/bin hard=1 usr/ usr/bin/ usr/bin/tool=1 "},
      {"a hard link whose target goes up behind a link",
       TarMaker()
           .file("p/q/t", "1")
           .directory("p/q/r")
           .symlink("l", "p/q/r")
           .hard_link("h", "l/../t"),
       "h=1 l>p/q/r p/ p/q/ p/q/r/ p/q/t=1 "},
      {"a hard link to a link", TarMaker().symlink("l", "nowhere").hard_link("h", "l"),
       "h>nowhere l>nowhere "},
  };
}

TEST(Links, are_followed_as_containerd_does) {
  for (const auto& one : layouts()) EXPECT_EQ(listing(files_of(one.tar)), one.listing) << one.name;
}

TarMaker chain(int links) {
  TarMaker tar;
  for (int i = 0; i < links; ++i)
    tar.symlink("l" + std::to_string(i), i + 1 < links ? "l" + std::to_string(i + 1) : "real");
  return tar.file("l0/x", "1");
}

TEST(Links, are_followed_255_times_and_no_more) {
  const FileTable files = files_of(chain(255));
  EXPECT_TRUE(files.find(*files.find(files.root(), "real"), "x"));
  EXPECT_THROW((void)files_of(chain(256)), BadLayer);
  EXPECT_THROW((void)files_of(chain(100'000)), BadLayer);
}

TEST(Links, that_lead_nowhere_are_refused) {
  EXPECT_THROW((void)files_of(TarMaker().symlink("a", "b").symlink("b", "a").file("a/x", "1")),
               BadLayer);
  EXPECT_THROW((void)files_of(TarMaker().symlink("a", "a").file("a/x", "1")), BadLayer);
  EXPECT_THROW((void)files_of(TarMaker().symlink("a", "a/b").file("a/x", "1")), BadLayer);
  EXPECT_THROW((void)files_of(TarMaker().symlink("a", "a").hard_link("h", "a/x")), BadLayer);
  EXPECT_THROW((void)files_of(TarMaker().file("f", "1").symlink("l", "f").file("l/x", "1")),
               BadLayer);
}

TEST(Links, cannot_make_a_tree_deeper_than_a_path_is_long) {
  FileTableBuilder builder;
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "d/";
  Inode link;
  link.type = FileType::symlink;
  link.symlink_target = deep;
  builder.add("a", link);
  builder.add("a/x", Inode{});
  builder.add(deep + "b", link);
  EXPECT_NO_THROW(builder.add("a/b/x", Inode{}));
  builder.add(deep + deep + "c", link);
  EXPECT_THROW(builder.add(deep + deep + "c/x", Inode{}), BadLayer);
}

TEST(Links, cannot_keep_the_indexer_busy_for_ever) {
  FileTableBuilder builder;
  const std::string far = "/" + std::string(4000, '/');
  for (int i = 0; i < 255; ++i) {
    Inode link;
    link.type = FileType::symlink;
    link.symlink_target = far + (i < 254 ? "l" + std::to_string(i + 1) : "end");
    builder.add("l" + std::to_string(i), link);
  }
  const auto add_many = [&] {
    for (int i = 0; i < 1000; ++i) builder.add("l0/x" + std::to_string(i), Inode{});
  };
  EXPECT_THROW(add_many(), BadLayer);
}

TEST(FileTableBuilder, gives_a_file_the_attributes_of_its_last_link) {
  FileTableBuilder builder;
  Inode file, link;
  file.mode = 0644;
  file.size = 7;
  file.xattrs = {{"user.a", "1"}, {"user.b", "1"}};
  link.mode = 0600;
  link.uid = 5;
  link.mtime_s = 9;
  link.xattrs = {{"user.b", "2"}, {"user.c", "3"}};
  builder.add("x", file);
  builder.add_hard_link("y", "x", link);
  const FileTable files = builder.finish();
  const Inode& made = files.inode(*files.find(files.root(), "x"));
  EXPECT_EQ(made.mode, 0600u);
  EXPECT_EQ(made.uid, 5u);
  EXPECT_EQ(made.mtime_s, 9);
  EXPECT_EQ(made.size, 7u);
  EXPECT_EQ(made.links, 2u);
  const std::vector<std::pair<std::string, std::string>> both{
      {"user.a", "1"}, {"user.b", "2"}, {"user.c", "3"}};
  EXPECT_EQ(made.xattrs, both);
}

TEST(FileTableBuilder, counts_no_names_in_directories_that_are_gone) {
  const FileTable files = files_of(
      TarMaker().file("x", "1").hard_link("d/e/y", "x").hard_link("d/z", "none").file("d", "12"));
  EXPECT_EQ(listing(files), "d=2 x=1 ");
  EXPECT_EQ(files.inode(*files.find(files.root(), "x")).links, 1u);
  EXPECT_TRUE(files.foreign_links().empty());
}

TEST(FileTableBuilder, lets_later_entries_replace_links_to_lower_layers) {
  EXPECT_EQ(listing(files_of(TarMaker().hard_link("y", "lower").file("y", "1"))), "y=1 ");
  EXPECT_EQ(listing(files_of(TarMaker().file("y", "1").hard_link("y", "lower"))), "y^lower ");
  EXPECT_EQ(listing(files_of(TarMaker().hard_link("y", "lower").hard_link("a", "y"))),
            "a^lower y^lower ");
}

}  // namespace
}  // namespace swarmfs::layer
