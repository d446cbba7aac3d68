// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "layer/bad_layer.h"
#include "layer/indexer.h"
#include "support/largest_allocation.h"
#include "support/tar_maker.h"
#include "util/digest.h"

namespace swarmfs::layer {
namespace {

using support::TarMaker;
using util::as_bytes;
using util::as_text;

constexpr size_t kModest = 64 << 20;
constexpr size_t kMagic = 8, kDigest = 32;

/// A little of everything that a reader knows.
std::string seed_tar() {
  TarMaker tar;
  tar.directory("etc").file("etc/one", support::noise(3000, 1)).symlink("bin", "usr/bin");
  tar.file("bin/tool", "tool").hard_link("etc/two", "bin/tool").hard_link("etc/far", "bin/lower");
  tar.pax({{"SCHILY.xattr.user.foo", "bar"}, {"mtime", "-12.5"}, {"path", "etc/pax"}});
  tar.file("short", "pax").typed('L', "long", std::string(150, 'l') + '\0').file("cut", "long");
  tar.pax({{"GNU.sparse.major", "1"},
           {"GNU.sparse.minor", "0"},
           {"GNU.sparse.name", "etc/sparse"},
           {"GNU.sparse.realsize", "100000"}});
  std::string map = "2\n0\n512\n4096\n512\n";
  map.resize(512, '\0');
  tar.file("sparse", map + support::noise(1024, 2));
  tar.pax({{"GNU.sparse.map", "0,100,500,100"}, {"GNU.sparse.size", "1000"}});
  tar.file("etc/sparser", support::noise(200, 3));
  tar.file("etc/.wh.gone", "").file("usr/.wh..wh..opq", "").symlink("bin/self", "self");
  return tar.typed('3', "null", "").typed('6', "fifo", "").finish();
}

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}
  size_t below(size_t bound) { return bound ? random_() % bound : 0; }

  std::string mutate(std::string bytes, size_t unit) {
    for (size_t i = 1 + below(4); i > 0 && !bytes.empty(); --i) once(bytes, unit);
    return bytes;
  }

 private:
  void once(std::string& bytes, size_t unit) {
    const size_t at = below(bytes.size());
    const size_t piece = at / unit * unit, length = unit * (1 + below(3));
    switch (below(8)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8));
        break;
      case 1:
        bytes[at] = "\0\xff\x80\x7f/.79"[below(8)];
        break;
      case 2:
        bytes[at] = static_cast<char>(random_());
        break;
      case 3:
        for (size_t i = at; i < std::min(bytes.size(), at + 10); ++i) bytes[i] = '\xff';
        break;
      case 4:
        bytes.erase(piece, length);
        break;
      case 5:
        bytes.insert(piece, bytes.substr(below(bytes.size()) / unit * unit, length));
        break;
      case 6:
        bytes[at] = bytes[below(bytes.size())];
        break;
      default:
        if (below(8) == 0) bytes.resize(at);
        break;
    }
  }
  std::mt19937 random_;
};

/// Gives all headers that stand in `bytes` their checksum: else nothing else of them is looked at.
void repair_headers(std::string& bytes) {
  for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (bytes.compare(at + 257, 5, "ustar") != 0) continue;
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at) + 148, 8, ' ');
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[at + i]);
    std::snprintf(bytes.data() + at + 148, 8, "%06o", sum);
  }
}

/// What stands up to reading must stand up to use.
void use(const LayerIndex& index, util::ByteView windows, std::string_view layer) {
  for (size_t i = 0; i < index.span_count(); ++i) {
    const Span span = index.span(i);
    if (span.bytes.end() > layer.size()) continue;
    const auto bytes = as_bytes(layer.substr(span.bytes.offset, span.bytes.length));
    const auto& at = index.checkpoints[i].window;
    EXPECT_TRUE(span.bytes.empty() || overlap(index.windows_for(span.bytes), at) == at ||
                at.empty());
    const auto packed =
        at.end() > windows.size() ? util::ByteView() : windows.subspan(at.offset, at.length);
    const auto window = index.unpack(i, packed);
    if (!window) continue;
    if (const auto made = index.inflate(span, bytes, *window)) {
      EXPECT_EQ(made->size(), span.space.length);
    }
  }
  const auto again = LayerIndex::parse(index.serialize());
  ASSERT_TRUE(again) << again.failure().message;
  EXPECT_EQ(*again, index);
}

/// Whether the layer was taken.
bool index_and_use(const std::string& layer, Mutator& mutator) {
  IndexerOptions options;
  options.checkpoint_interval = 1024;
  Indexer indexer(options);
  const size_t piece = 1 + mutator.below(2 * layer.size());
  try {
    for (size_t at = 0; at < layer.size(); at += piece)
      indexer.feed(as_bytes(std::string_view(layer).substr(at, piece)));
    const auto made = indexer.finish();
    use(made.index, made.windows, layer);
    return true;
  } catch (const BadLayer&) {
    return false;
  }
}

/// Indexes `rounds` mutations; some must be taken and some refused, or they were no test.
template <class Make>
void bombard(unsigned seed, int rounds, Make&& make) {
  Mutator mutator(seed);
  support::largest_allocation = 0;
  int taken = 0;
  for (int i = 0; i < rounds; ++i) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(i));
    taken += make(mutator);
    ASSERT_LT(support::largest_allocation, kModest);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(taken, rounds / 100);
  EXPECT_LT(taken, rounds);
}

TEST(Mutations, of_archives_are_read_or_refused) {
  const std::string tar = seed_tar();
  bombard(1, 4000, [&](Mutator& mutator) {
    std::string bad = mutator.mutate(tar, 512);
    repair_headers(bad);
    return index_and_use(bad, mutator);
  });
}

TEST(Mutations, of_compressed_layers_are_read_or_refused) {
  const std::string tar = seed_tar();
  for (const auto pack : {support::gzip, support::zstd}) {
    const std::string layer = pack(tar.substr(0, 5000)) + pack(tar.substr(5000));
    bombard(2, 1000, [&](Mutator& mutator) {
      // gzip and zstd see most damage themselves: half of it is done to the archive inside.
      if (mutator.below(2)) return index_and_use(mutator.mutate(layer, 1), mutator);
      std::string bad = mutator.mutate(tar, 512);
      repair_headers(bad);
      return index_and_use(pack(bad), mutator);
    });
  }
}

/// A document as parse() takes it, around any body.
util::Bytes document_of(const std::string& magic, const std::string& body) {
  const std::string text = magic + support::zstd(body);
  const auto view = as_bytes(text);
  util::Bytes made(view.begin(), view.end());
  const auto digest = util::Sha256::of(made);
  made.insert(made.end(), digest.bytes().begin(), digest.bytes().end());
  return made;
}

TEST(Mutations, of_an_index_are_read_or_refused) {
  const std::string layer = support::gzip(seed_tar());
  IndexerOptions options;
  options.checkpoint_interval = 1024;
  Indexer indexer(options);
  indexer.feed(as_bytes(layer));
  const auto made = indexer.finish();
  const auto document = made.index.serialize();
  const std::string text(as_text(document));
  std::string body(1 << 20, '\0');
  const size_t packed = text.size() - kMagic - kDigest;
  body.resize(ZSTD_decompress(body.data(), body.size(), text.data() + kMagic, packed));
  ASSERT_EQ(*LayerIndex::parse(document_of(text.substr(0, kMagic), body)),
            *LayerIndex::parse(document));
  bombard(3, 6000, [&](Mutator& mutator) {
    const auto bad = document_of(text.substr(0, kMagic), mutator.mutate(body, 1));
    const auto read = LayerIndex::parse(bad);
    if (read) use(*read, made.windows, layer);
    return static_cast<bool>(read);
  });
}

TEST(Mutations, of_a_window_are_unpacked_or_refused) {
  WindowPacker packer;
  const std::string text(as_text(packer.pack(as_bytes(support::noise(20'000, 5)))));
  bombard(4, 3000, [&](Mutator& mutator) {
    const auto bad = mutator.mutate(text, 1);
    const auto plain = unpack_window(as_bytes(bad));
    EXPECT_TRUE(!plain || plain->size() <= kLongestWindow);
    return plain.has_value();
  });
}

TEST(Mutations, into_a_body_that_fills_the_memory_are_refused) {
  support::largest_allocation = 0;
  EXPECT_FALSE(LayerIndex::parse(document_of("swfsidx3", std::string(200 << 20, '\0'))));
  EXPECT_LT(support::largest_allocation, size_t{201} << 20) << "the body itself, of this test";
}

}  // namespace
}  // namespace swarmfs::layer
