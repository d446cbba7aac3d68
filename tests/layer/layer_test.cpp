// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "layer/bad_layer.h"
#include "layer/file_table_builder.h"
#include "layer/indexer.h"
#include "support/tar_maker.h"
#include "util/digest.h"

namespace swarmfs::layer {
namespace {

using support::gzip;
using support::noise;
using support::TarMaker;
using support::zstd;
using util::as_bytes;
using util::as_text;

Indexed indexed(const std::string& layer, size_t piece, std::string* space = nullptr) {
  IndexerOptions options;
  options.checkpoint_interval = 64 * 1024;
  if (space) options.on_space = [space](util::ByteView bytes) { *space += as_text(bytes); };
  Indexer indexer(options);
  for (size_t at = 0; at < layer.size(); at += piece)
    indexer.feed(as_bytes(std::string_view(layer).substr(at, piece)));
  return indexer.finish();
}

LayerIndex index_of(const std::string& layer, size_t piece, std::string* space = nullptr) {
  return indexed(layer, piece, space).index;
}

util::ByteView window_of(const Indexed& made, size_t checkpoint) {
  const auto& range = made.index.checkpoints[checkpoint].window;
  return util::ByteView(made.windows).subspan(range.offset, range.length);
}

util::Outcome<util::Bytes> inflate(const Indexed& made, size_t span, const std::string& layer) {
  const auto at = made.index.span(span);
  const auto window = made.index.unpack(span, window_of(made, span));
  if (!window) return window.failure();
  return made.index.inflate(
      at, as_bytes(std::string_view(layer).substr(at.bytes.offset, at.bytes.length)), *window);
}

std::string sample_tar() {
  TarMaker tar;
  tar.directory("etc").file("etc/one", noise(300'000, 1)).file("etc/empty", "");
  tar.symlink("etc/link", "one")
      .hard_link("usr/lib/hard", "etc/one")
      .file("big", noise(900'000, 2));
  return tar.finish();
}

/// A zstd frame that holds no data.
std::string skippable(const std::string& content) {
  return std::string("\x50\x2a\x4d\x18", 4) + static_cast<char>(content.size()) +
         std::string(3, '\0') + content;
}

struct Case {
  const char* name;
  std::string layer;
  Compression compression;
};

std::vector<Case> cases() {
  const std::string tar = sample_tar();
  return {
      {"plain", tar, Compression::none},
      {"gzip", gzip(tar), Compression::gzip},
      {"gzip of members", gzip(tar.substr(0, 500'000)) + gzip(tar.substr(500'000)),
       Compression::gzip},
      {"zstd", zstd(tar), Compression::zstd},
      {"zstd of frames", zstd(tar.substr(0, 200'000)) + zstd(tar.substr(200'000)),
       Compression::zstd},
      {"zstd:chunked",
       zstd(tar.substr(0, 300'000)) + skippable("a table") + zstd(tar.substr(300'000, 400'000)) +
           zstd(tar.substr(700'000)) + skippable("another"),
       Compression::zstd}};
}

TEST(Indexer, gives_a_data_space_that_any_span_inflates_to) {
  const std::string tar = sample_tar();
  for (const auto& one : cases())
    for (const size_t piece : {size_t{997}, size_t{65536}, one.layer.size()}) {
      SCOPED_TRACE(std::string(one.name) + " in pieces of " + std::to_string(piece));
      std::string space;
      const Indexed made = indexed(one.layer, piece, &space);
      const LayerIndex& index = made.index;
      EXPECT_EQ(index.compression, one.compression);
      EXPECT_EQ(index.layer_size, one.layer.size());
      EXPECT_EQ(space, tar.substr(0, space.size()));
      EXPECT_EQ(index.space_size, space.size());
      std::string joined;
      for (size_t i = 0; i < index.span_count(); ++i) {
        const auto bytes = inflate(made, i, one.layer);
        ASSERT_TRUE(bytes) << bytes.failure().message;
        joined += as_text(*bytes);
      }
      EXPECT_EQ(joined, one.compression == Compression::none ? "" : space);
      EXPECT_GE(index.span_count(), one.compression == Compression::gzip ? 6u : 0u);
    }
}

TEST(Indexer, finds_files_with_their_content_in_the_data_space) {
  std::string space;
  const LayerIndex index = index_of(gzip(sample_tar()), 4096, &space);
  const auto& files = index.files;
  const auto etc = files.find(files.root(), "etc");
  ASSERT_TRUE(etc);
  const auto one = files.find(*etc, "one");
  ASSERT_TRUE(one);
  const Inode& inode = files.inode(*one);
  EXPECT_EQ(inode.type, FileType::regular);
  EXPECT_EQ(inode.mode, 0644u);
  EXPECT_EQ(inode.uid, 1000u);
  EXPECT_EQ(inode.gid, 2000u);
  EXPECT_EQ(inode.mtime_s, 1700000000);
  EXPECT_EQ(inode.links, 2u);
  ASSERT_EQ(inode.extents.size(), 1u);
  EXPECT_EQ(space.substr(inode.extents[0].space_offset, inode.extents[0].length),
            noise(300'000, 1));
  const auto usr = files.find(files.root(), "usr");
  ASSERT_TRUE(usr);
  EXPECT_TRUE(files.inode(*usr).implied);
  const auto lib = files.find(*usr, "lib");
  ASSERT_TRUE(lib);
  EXPECT_EQ(files.find(*lib, "hard"), one);
  EXPECT_EQ(files.inode(*files.find(*etc, "link")).symlink_target, "one");
}

TEST(LayerIndex, survives_its_document) {
  for (const auto& one : cases()) {
    const LayerIndex index = index_of(one.layer, 8192);
    const auto document = index.serialize();
    const auto read = LayerIndex::parse(document);
    ASSERT_TRUE(read) << one.name << read.failure().message;
    EXPECT_EQ(read->files, index.files);
    EXPECT_EQ(read->checkpoints, index.checkpoints);
    EXPECT_EQ(read->layer_size, index.layer_size);
    EXPECT_EQ(read->space_size, index.space_size);
  }
}

TEST(LayerIndex, is_the_same_on_every_node) {
  for (const auto& one : cases()) {
    const LayerIndex index = index_of(one.layer, one.layer.size());
    for (const size_t piece : {size_t{997}, size_t{65536}, size_t{1} << 20})
      EXPECT_EQ(index_of(one.layer, piece), index) << one.name << " in pieces of " << piece;
    EXPECT_EQ(*LayerIndex::parse(index.serialize()), index) << one.name;
  }
}

TEST(LayerIndex, refuses_a_plain_archive_that_is_longer_than_its_bytes) {
  LayerIndex index = index_of(sample_tar(), 8192);
  index.space_size = index.layer_size + 1;
  EXPECT_FALSE(LayerIndex::parse(index.serialize()));
}

TEST(LayerIndex, refuses_a_damaged_document) {
  const auto good = index_of(gzip(sample_tar()), 8192).serialize();
  for (size_t at = 0; at < good.size(); at += 1 + good.size() / 200) {
    auto bad = good;
    bad[at] ^= std::byte{0x40};
    EXPECT_FALSE(LayerIndex::parse(bad)) << at;
  }
  for (const size_t keep : {size_t{0}, size_t{7}, size_t{40}, good.size() - 1})
    EXPECT_FALSE(LayerIndex::parse(util::ByteView(good).first(keep))) << keep;
}

TEST(LayerIndex, of_another_version_is_no_index) {
  auto document = index_of(sample_tar(), 8192).serialize();
  ASSERT_TRUE(LayerIndex::recognises(document));
  document[7] = std::byte{'1'};
  const auto digest = util::Sha256::of(util::ByteView(document).first(document.size() - 32));
  std::copy(digest.bytes().begin(), digest.bytes().end(), document.end() - 32);
  EXPECT_FALSE(LayerIndex::recognises(document));
  const auto read = LayerIndex::parse(document);
  ASSERT_FALSE(read);
  EXPECT_NE(read.failure().message.find("another version"), std::string::npos);
}

TEST(LayerIndex, keeps_its_windows_small_and_apart) {
  const std::string layer = gzip(sample_tar());
  const Indexed made = indexed(layer, 8192);
  size_t plain = 0, packed = 0;
  for (size_t i = 0; i < made.index.span_count(); ++i) {
    plain += made.index.unpack(i, window_of(made, i))->size();
    packed += made.index.checkpoints[i].window.length;
  }
  ASSERT_GT(plain, 5 * kLongestWindow);
  EXPECT_LT(packed, plain * 2 / 3) << "of sixteen letters, so at least half of it";
  EXPECT_EQ(made.index.windows_size(), packed);
  EXPECT_EQ(made.windows.size(), packed);
  EXPECT_LT(made.index.serialize().size(), packed / 10);
}

TEST(LayerIndex, binds_the_blocks_of_its_windows) {
  const Indexed made = indexed(gzip(sample_tar()), 8192);
  const auto read = LayerIndex::parse(made.index.serialize());
  ASSERT_TRUE(read);
  ASSERT_EQ(read->windows.size(), (made.windows.size() + 16383) / 16384);
  ASSERT_GT(read->windows.size(), 2u);
  for (size_t i = 0; i < read->windows.size(); ++i) {
    const auto rest = util::ByteView(made.windows).subspan(i * 16384);
    EXPECT_EQ(read->windows[i], util::Sha256::of(rest.first(std::min<size_t>(rest.size(), 16384))));
  }
}

TEST(LayerIndex, knows_the_windows_that_bytes_need) {
  const std::string layer = gzip(sample_tar());
  const LayerIndex index = index_of(layer, 8192);
  ASSERT_GT(index.span_count(), 4u);
  const auto& points = index.checkpoints;
  const Span third = index.span(2);
  EXPECT_EQ(index.windows_for({third.bytes.offset + 100, 1}), points[2].window);
  const util::ByteRange both{points[2].window.offset,
                             points[2].window.length + points[3].window.length};
  EXPECT_EQ(index.windows_for({third.bytes.offset + 100, third.bytes.length}), both);
  EXPECT_EQ(index.windows_for({0, layer.size()}), (util::ByteRange{0, index.windows_size()}));
  EXPECT_EQ(index.windows_for({0, 1}).length, 0u) << "the first checkpoint is a gzip header";
  EXPECT_TRUE(index_of(sample_tar(), 8192).windows_for({0, 5000}).empty());
}

TEST(LayerIndex, takes_no_window_but_the_right_one) {
  const std::string layer = gzip(sample_tar());
  const Indexed made = indexed(layer, 8192);
  const auto good = window_of(made, 1);
  ASSERT_TRUE(made.index.unpack(1, good));
  const std::string other = noise(kLongestWindow, 9);
  WindowPacker packer;
  const auto forged = packer.pack(as_bytes(other));
  for (const auto& bad : {good.first(good.size() / 2), as_bytes("no window"), window_of(made, 2),
                          forged, util::ByteView()})
    EXPECT_EQ(made.index.unpack(1, bad).failure().fault, util::Fault::corrupt);
}

TEST(LayerIndex, is_the_same_whatever_packed_its_windows) {
  const Indexed made = indexed(gzip(sample_tar()), 8192);
  const auto plain = made.index.unpack(1, window_of(made, 1)).value();
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 19));
  ASSERT_NE(as_text(window_of(made, 1)), packed);
  EXPECT_EQ(made.index.unpack(1, as_bytes(packed)).value(), plain);
  LayerIndex elsewhere = made.index;
  elsewhere.checkpoints[1].window.length = packed.size();
  elsewhere.windows[0] = util::Digest();
  EXPECT_TRUE(made.index.says_the_same(elsewhere));
  EXPECT_FALSE(made.index == elsewhere);
  elsewhere.checkpoints[1].window_hash[3] ^= std::byte{1};
  EXPECT_FALSE(made.index.says_the_same(elsewhere));
}

TEST(Window, is_refused_when_it_is_longer_than_a_window) {
  const std::string bomb = zstd(std::string(100 << 20, 'x'));
  EXPECT_FALSE(unpack_window(as_bytes(bomb)));
}

TEST(LayerIndex, refuses_compressed_bytes_that_are_damaged) {
  const std::string layer = zstd(sample_tar());
  const LayerIndex index = index_of(layer, 8192);
  const Span span = index.span(0);
  std::string bytes = layer.substr(span.bytes.offset, span.bytes.length);
  for (size_t at = 30; at < bytes.size(); at += bytes.size() / 3) bytes[at] ^= 0x55;
  const auto outcome = index.inflate(span, as_bytes(bytes), {});
  EXPECT_TRUE(!outcome || outcome->size() == span.space.length);
  EXPECT_FALSE(index.inflate(span, as_bytes(bytes.substr(0, bytes.size() / 2)), {}));
}

TEST(Indexer, refuses_every_crime_of_the_museum) {
  size_t seen = 0;
  for (const auto& file : std::filesystem::directory_iterator(SWARMFS_REFUSE)) {
    if (file.path().filename() == "README.md") continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string layer((std::istreambuf_iterator<char>(in)), {});
    for (const size_t piece : {size_t{1}, size_t{511}, size_t{1} << 20})
      EXPECT_THROW((void)index_of(layer, piece), BadLayer)
          << file.path().filename() << " in pieces of " << piece;
    ++seen;
  }
  EXPECT_GE(seen, 20u);
}

TEST(LayerIndex, refuses_every_crime_of_the_museum) {
  size_t seen = 0;
  for (const auto& file : std::filesystem::directory_iterator(SWARMFS_REFUSE_INDEXES)) {
    if (file.path().extension() != ".index") continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string document((std::istreambuf_iterator<char>(in)), {});
    const auto read = LayerIndex::parse(as_bytes(document));
    if (file.path().stem() == "innocent") {
      ASSERT_TRUE(read) << read.failure().message;
      EXPECT_EQ(read->windows_size(), 30'000u);
      continue;
    }
    ASSERT_FALSE(read) << file.path().filename();
    EXPECT_EQ(read.failure().fault, util::Fault::corrupt);
    EXPECT_EQ(read.failure().message.find("checksum"), std::string::npos) << file.path().filename();
    ++seen;
  }
  EXPECT_GE(seen, 19u);
}

TEST(FileTableBuilder, keeps_names_while_thousands_come) {
  // 2026-11: insert_or_assign kept a reference to a slot that make() had moved.
  FileTableBuilder builder;
  for (int i = 0; i < 5000; ++i) builder.add("d/" + std::to_string(i), Inode{});
  const FileTable files = builder.finish();
  EXPECT_EQ(files.children(*files.find(files.root(), "d")).size(), 5000u);
}

TEST(FileTableBuilder, notes_whiteouts_and_opaque_directories) {
  FileTableBuilder builder;
  builder.add("a/.wh.gone", Inode{});
  builder.add("b/.wh..wh..opq", Inode{});
  builder.add("a/.wh.kept", Inode{});
  builder.add("a/kept", Inode{});
  const FileTable files = builder.finish();
  const auto a = *files.find(files.root(), "a"), b = *files.find(files.root(), "b");
  ASSERT_EQ(files.whiteouts(a).size(), 1u);
  EXPECT_EQ(files.whiteouts(a)[0], "gone");
  EXPECT_TRUE(files.inode(b).opaque);
  EXPECT_TRUE(files.find(a, "kept"));
}

TEST(Indexer, takes_no_attributes_that_are_the_kernels) {
  TarMaker tar;
  tar.pax({{"SCHILY.xattr.trusted.overlay.redirect", "/etc"}, {"SCHILY.xattr.user.a", "1"}});
  tar.file("x", "1").file("y", "1");
  const auto files = index_of(tar.finish(), 512).files;
  const std::vector<std::pair<std::string, std::string>> left{{"user.a", "1"}};
  EXPECT_EQ(files.inode(*files.find(files.root(), "x")).xattrs, left);
  EXPECT_TRUE(files.inode(*files.find(files.root(), "y")).xattrs.empty());
}

TEST(Indexer, gives_no_file_more_than_the_archive_has) {
  // 2026-11: the size of a sparse file without a map made an index that nobody could read again.
  TarMaker tar;
  tar.pax({{"GNU.sparse.realsize", "1000000"}}).file("x", "12345");
  const LayerIndex index = index_of(tar.finish(), 512);
  const Inode& inode = index.files.inode(*index.files.find(index.files.root(), "x"));
  EXPECT_EQ(inode.size, 5u);
  EXPECT_EQ(inode.extents, (std::vector<Extent>{{0, 1024 + 512, 5}}));
  EXPECT_TRUE(LayerIndex::parse(index.serialize()));
}

TEST(Indexer, refuses_what_would_fill_the_memory) {
  const std::string much(900'000, 'x');
  EXPECT_THROW((void)index_of(
                   TarMaker().pax({{"SCHILY.xattr.user.a", much}}).file("x", "").finish(), 1 << 20),
               BadLayer);
  EXPECT_THROW(
      (void)index_of(TarMaker().pax({{"linkpath", much}}).symlink("x", "").finish(), 1 << 20),
      BadLayer);
  EXPECT_THROW(
      (void)index_of(TarMaker().pax({{"a", much}}).pax({{"b", much}}).file("x", "").finish(),
                     1 << 20),
      BadLayer);
  EXPECT_THROW((void)index_of(TarMaker()
                                  .typed('g', "pax", "900000 a=" + much.substr(10) + "\n")
                                  .typed('g', "pax", "900000 b=" + much.substr(10) + "\n")
                                  .file("x", "")
                                  .finish(),
                              1 << 20),
               BadLayer);
}

TEST(FileTableBuilder, keeps_no_more_than_so_much_text) {
  const auto add = [](size_t length, int files) {
    FileTableBuilder builder(100'000);
    for (int i = 0; i < files; ++i) {
      Inode inode;
      inode.xattrs = {{"user.a", std::string(length, 'x')}};
      builder.add("x", inode);  // what is replaced counts as well
    }
  };
  EXPECT_NO_THROW(add(990, 100));
  EXPECT_THROW(add(1010, 100), BadLayer);
  FileTableBuilder builder(100'000);
  const auto link_many = [&] {
    for (int i = 0; i < 500; ++i)
      builder.add_hard_link(std::to_string(i), std::string(250, 'x'), {});
  };
  EXPECT_THROW(link_many(), BadLayer);
}

TEST(CleanPath, never_leaves_the_root) {
  EXPECT_EQ(clean_path("../../etc//./passwd"), (std::vector<std::string>{"etc", "passwd"}));
  EXPECT_EQ(clean_path("/a/../../b/"), (std::vector<std::string>{"b"}));
  EXPECT_TRUE(clean_path("./").empty());
}

}  // namespace
}  // namespace swarmfs::layer
