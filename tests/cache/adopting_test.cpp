// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "cache_fixture.h"
#include "support/reflink_disk.h"

namespace swarmfs::cache {
namespace {

using util::Fault;

constexpr uint64_t kAdoptedSize = 5 * (1 << 20) + 12'345;

util::UniqueFd open_to_read(const std::filesystem::path& path) {
  return util::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

/// Extents of the file, and how many of them other files share.
std::pair<size_t, size_t> extents_of(const std::filesystem::path& path) {
  const auto file = open_to_read(path);
  constexpr uint32_t kMost = 256;
  std::vector<std::byte> space(sizeof(fiemap) + kMost * sizeof(fiemap_extent));
  auto* map = reinterpret_cast<fiemap*>(space.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = kMost;
  if (::ioctl(file.get(), FS_IOC_FIEMAP, map)) return {0, 0};
  size_t shared = 0;
  for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
    fiemap_extent extent;
    std::memcpy(&extent, space.data() + sizeof(fiemap) + i * sizeof extent, sizeof extent);
    shared += (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0;
  }
  return {map->fm_mapped_extents, shared};
}

/// A cache on a tmpfs or whatever the tests run on; see AdoptingOnXfs.
class Adopting : public CacheTest {
 protected:
  void put(const util::Bytes& bytes, const std::string& name = "blob") {
    std::ofstream file(folder() / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  util::Outcome<Adopted> adopt(const util::Digest& digest, uint64_t size, bool may_copy,
                               const std::string& name = "blob") {
    return cache_->adopt(
        digest, size, open_to_read(folder() / name).get(), may_copy,
        [&] { present_before_.push_back(cache_->size_of(digest).has_value()); }, stop_.get_token());
  }
  [[nodiscard]] std::filesystem::path data_of(const util::Digest& digest) const {
    return folder() / "layers" / (digest.hex() + ".bytes");
  }
  void expect_whole(const util::Digest& digest, const util::Bytes& bytes) {
    const auto layer = cache_->open(digest, bytes.size(), chunk::Form::bytes);
    EXPECT_TRUE(layer->has({0, chunk::block_count(bytes.size())}));
    const auto got = read(*layer, {0, bytes.size()});
    ASSERT_TRUE(got) << got.failure().message;
    EXPECT_TRUE(*got == bytes);
  }
  void expect_nothing(const util::Digest& digest) {
    const auto layer = cache_->open(digest, kAdoptedSize, chunk::Form::bytes);
    EXPECT_EQ(layer->bytes_present(), 0u);
    EXPECT_EQ(cache_->usage().bytes, 0u);
  }

  const util::Bytes bytes_ = some_bytes(kAdoptedSize, 7);
  const util::Digest digest_ = util::Sha256::of(bytes_);
  std::stop_source stop_;
  std::vector<bool> present_before_;  ///< what was known when the first byte was about to come
};

class AdoptingOnXfs : public Adopting {
 protected:
  void SetUp() override {
    if (!disk_.mounted())
      GTEST_SKIP() << "no XFS can be mounted here (root, mkfs.xfs, a loop device)";
    open();
    put(bytes_);
  }
  void TearDown() override { close(); }
  [[nodiscard]] std::filesystem::path folder() const override { return disk_.path(); }

  support::ReflinkDisk disk_;
};

TEST_F(AdoptingOnXfs, shares_the_blocks_of_the_file) {
  const auto adopted = adopt(digest_, kAdoptedSize, false);
  ASSERT_TRUE(adopted) << adopted.failure().message;
  EXPECT_EQ(*adopted, Adopted::shared);
  EXPECT_EQ(present_before_, std::vector{false}) << "who is told is told in time";
  expect_whole(digest_, bytes_);
  EXPECT_EQ(cache_->usage().bytes, chunk::block_count(kAdoptedSize) * chunk::kBlockSize);
  const auto [extents, shared] = extents_of(data_of(digest_));
  EXPECT_GT(extents, 0u);
  EXPECT_GE(shared + 1, extents) << "all but the padded end";
  EXPECT_GT(shared, 0u);
  const auto again = adopt(digest_, kAdoptedSize, false);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, Adopted::before);
}

TEST_F(AdoptingOnXfs, is_there_after_a_crash) {
  ASSERT_TRUE(adopt(digest_, kAdoptedSize, false));
  // Of what is durable now another cache is made, as a crash would leave it: not marked clean.
  const auto other = folder() / "other";
  std::filesystem::create_directories(other / "layers");
  for (const char* suffix : {".bytes", ".bits"})
    std::filesystem::copy(folder() / "layers" / (digest_.hex() + suffix),
                          other / "layers" / (digest_.hex() + suffix));
  ChunkCache revived({other, 100 << 20, 0.95, 0.5, sync_interval_}, timers_, workers_, metrics_);
  const auto layer = revived.open(digest_, kAdoptedSize, chunk::Form::bytes);
  EXPECT_TRUE(layer->has({0, chunk::block_count(kAdoptedSize)}));
  const auto got = read(*layer, {0, kAdoptedSize});
  ASSERT_TRUE(got);
  EXPECT_TRUE(*got == bytes_);
}

TEST_F(AdoptingOnXfs, eviction_and_writes_leave_the_file_alone) {
  ASSERT_TRUE(adopt(digest_, kAdoptedSize, false));
  EXPECT_GT(cache_->evict_all(), 0u);
  const auto layer = cache_->open(digest_, kAdoptedSize, chunk::Form::bytes);
  ASSERT_TRUE(write(*layer, 0, some_bytes(chunk::kBlockSize, 8)));
  cache_->sync();
  std::ifstream file(folder() / "blob", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(util::Sha256::of(util::as_bytes(text)), digest_);
}

TEST_F(AdoptingOnXfs, fills_what_is_missing) {
  {
    const auto layer = cache_->open(digest_, kAdoptedSize, chunk::Form::bytes);
    ASSERT_TRUE(
        write(*layer, 3,
              {bytes_.begin() + 3 * chunk::kBlockSize, bytes_.begin() + 4 * chunk::kBlockSize}));
  }
  const auto adopted = adopt(digest_, kAdoptedSize, false);
  ASSERT_TRUE(adopted) << adopted.failure().message;
  EXPECT_EQ(*adopted, Adopted::shared);
  expect_whole(digest_, bytes_);
  EXPECT_EQ(cache_->usage().bytes, chunk::block_count(kAdoptedSize) * chunk::kBlockSize);
}

TEST_F(AdoptingOnXfs, nothing_of_a_lie_is_ever_there) {
  auto wrong = bytes_;
  wrong[4 << 20] ^= std::byte{1};
  put(wrong, "lie");
  for (const bool may_copy : {false, true}) {
    const auto adopted = adopt(digest_, kAdoptedSize, may_copy, "lie");
    ASSERT_FALSE(adopted);
    EXPECT_EQ(adopted.failure().fault, Fault::corrupt);
    expect_nothing(digest_);
  }
}

TEST_F(AdoptingOnXfs, while_others_write_evict_and_sync) {
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (uint64_t i = 0; !done; i = (i + 7) % (kAdoptedSize / chunk::kBlockSize)) {
      const auto layer = cache_->open(digest_, kAdoptedSize, chunk::Form::bytes);
      const auto at = bytes_.begin() + static_cast<std::ptrdiff_t>(i * chunk::kBlockSize);
      static_cast<void>(write(*layer, i, {at, at + chunk::kBlockSize}));
    }
  });
  std::thread evictor([&] {
    while (!done) cache_->evict_all();
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  size_t shared = 0;
  while (shared < 5 && std::chrono::steady_clock::now() < until) {
    const auto adopted = adopt(digest_, kAdoptedSize, false);
    if (adopted)
      shared += *adopted == Adopted::shared;
    else
      EXPECT_EQ(adopted.failure().fault, Fault::unavailable);
  }
  done = true;
  writer.join();
  evictor.join();
  EXPECT_EQ(shared, 5u);
  ASSERT_TRUE(adopt(digest_, kAdoptedSize, false));
  expect_whole(digest_, bytes_);
  EXPECT_EQ(cache_->usage().bytes, chunk::block_count(kAdoptedSize) * chunk::kBlockSize);
  while (cache_->usage().bytes > 0 && std::chrono::steady_clock::now() < until)
    cache_->evict_all();  // what was read a moment ago is still leased
  EXPECT_EQ(cache_->usage().bytes, 0u);
}

/// tmpfs shares no blocks.
class AdoptingOnTmpfs : public Adopting {
 protected:
  void SetUp() override {
    if (::mount("none", directory_.path().c_str(), "tmpfs", 0, "size=64m"))
      GTEST_SKIP() << "no tmpfs can be mounted here";
    mounted_ = true;
    open();
    put(bytes_);
  }
  void TearDown() override {
    close();
    if (mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(AdoptingOnTmpfs, copies_where_it_may) {
  const auto refused = adopt(digest_, kAdoptedSize, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.failure().fault, Fault::invalid);
  expect_nothing(digest_);
  const auto adopted = adopt(digest_, kAdoptedSize, true);
  ASSERT_TRUE(adopted) << adopted.failure().message;
  EXPECT_EQ(*adopted, Adopted::copied);
  expect_whole(digest_, bytes_);
}

TEST_F(AdoptingOnTmpfs, refuses_lies_of_every_kind) {
  auto wrong = bytes_;
  wrong.back() ^= std::byte{1};
  put(wrong, "flipped");
  put({bytes_.begin(), bytes_.end() - 1}, "short");
  put({}, "empty");
  for (const char* name : {"flipped", "short", "empty"}) {
    const auto adopted = adopt(digest_, kAdoptedSize, true, name);
    ASSERT_FALSE(adopted) << name;
    EXPECT_EQ(adopted.failure().fault, Fault::corrupt) << name;
  }
  expect_nothing(digest_);
}

TEST_F(AdoptingOnTmpfs, stays_below_the_low_watermark) {
  cache_->set_limits(2 * kAdoptedSize, 0.95, 0.49);
  const auto refused = adopt(digest_, kAdoptedSize, true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.failure().fault, Fault::no_space);
  expect_nothing(digest_);
  cache_->set_limits(2 * kAdoptedSize, 0.95, 0.55);
  EXPECT_TRUE(adopt(digest_, kAdoptedSize, true));
}

TEST_F(AdoptingOnTmpfs, stops_when_told) {
  stop_.request_stop();
  const auto stopped = adopt(digest_, kAdoptedSize, true);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.failure().fault, Fault::cancelled);
  expect_nothing(digest_);
}

}  // namespace
}  // namespace swarmfs::cache
