// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "cache_fixture.h"
#include "support/small_disk.h"

namespace swarmfs::cache {
namespace {

namespace fs = std::filesystem;
using chunk::BlockIndex;
using chunk::Class;
using chunk::Form;
using chunk::kBlockSize;

constexpr uint64_t kExtent = CachedLayer::kExtent;

/// In the place of a file that this process has open: one on which nothing can be written, cut or
/// synced.
class Broken {
 public:
  explicit Broken(const fs::path& file) {
    const util::UniqueFd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (fs::read_symlink(entry.path(), gone) != file) continue;
      const int fd = std::stoi(entry.path().filename());
      were_.emplace_back(fd, util::UniqueFd(::dup(fd)));
      ::dup2(full.get(), fd);
    }
    EXPECT_FALSE(were_.empty()) << file;
  }
  ~Broken() {
    for (const auto& [fd, was] : were_) ::dup2(was.get(), fd);
  }
  Broken(const Broken&) = delete;
  Broken& operator=(const Broken&) = delete;

 private:
  std::vector<std::pair<int, util::UniqueFd>> were_;
};

/// Files can be cut, but not be written.
class NoWriting {
 public:
  NoWriting() {
    ::getrlimit(RLIMIT_FSIZE, &was_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{0, was_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoWriting() {
    ::setrlimit(RLIMIT_FSIZE, &was_);
    std::signal(SIGXFSZ, handler_);
  }
  NoWriting(const NoWriting&) = delete;
  NoWriting& operator=(const NoWriting&) = delete;

 private:
  rlimit was_{};
  sighandler_t handler_ = SIG_DFL;
};

class BrokenFileTest : public CacheTest {
 protected:
  BrokenFileTest() { sync_interval_ = std::chrono::hours(1); }
  fs::path file(const util::Digest& layer, const char* extension) const {
    return folder() / "layers" / (layer.hex() + extension);
  }
  std::shared_ptr<chunk::StoredLayer> filled(const util::Digest& digest) {
    auto layer = cache_->open(digest, all_.size(), Form::bytes);
    EXPECT_TRUE(write(*layer, 0, all_));
    return layer;
  }
  bool holds_all(chunk::StoredLayer& layer) {
    const auto bytes = read(layer, {0, all_.size()});
    return bytes && *bytes == all_;
  }
  const util::Bytes all_ = some_bytes(2 * kExtent, 4);
};

TEST_F(BrokenFileTest, a_layer_that_cannot_be_synced_is_synced_later_and_keeps_nobody_from_it) {
  open();
  for (const char* extension : {".bits", ".bytes"}) {
    const auto first = filled(std::min(kOne, kTwo)), second = filled(std::max(kOne, kTwo));
    {
      const Broken broken(file(first->digest(), extension));
      cache_->sync();
      EXPECT_EQ(LayerFiles::peek(file(second->digest(), ".bits"))->bits[1], ~0ull);
      EXPECT_NE(cache_->usage().trouble, "");
    }
    cache_->sync();
    EXPECT_EQ(LayerFiles::peek(file(first->digest(), ".bits"))->bits[1], ~0ull) << extension;
    first->discard();
    second->discard();
    cache_->sync();
  }
}

TEST_F(BrokenFileTest, what_could_not_be_synced_is_suspect) {
  open();
  const auto layer = filled(kOne);
  {
    const Broken broken(file(kOne, ".bytes"));
    cache_->sync();
  }
  auto other = all_;
  other[kBlockSize] ^= std::byte{1};
  chunk::HashTreeBuilder builder;
  builder.feed(other);
  layer->trust(std::make_shared<const chunk::HashTree>(builder.finish()));
  EXPECT_TRUE(read(*layer, {0, 10}));
  EXPECT_FALSE(read(*layer, {kBlockSize, 10}));
}

TEST_F(BrokenFileTest, what_the_disk_does_not_let_go_of_stays_and_goes_later) {
  open();
  const auto layer = filled(kOne);
  cache_->sync();
  {
    const Broken broken(file(kOne, ".bits"));
    EXPECT_EQ(cache_->evict_all(), 0u);
    EXPECT_EQ(cache_->usage().bytes, all_.size());
    EXPECT_TRUE(holds_all(*layer));
  }
  // The reader lets go of its lease after it has answered.
  for (int i = 0; i < 1000 && cache_->evict_all() == 0; ++i) std::this_thread::yield();
  EXPECT_EQ(cache_->usage().bytes, 0u);
  ASSERT_TRUE(write(*layer, 0, all_));
  EXPECT_TRUE(holds_all(*layer));
}

TEST_F(BrokenFileTest, what_stays_can_be_added_to) {
  open();
  const auto layer = cache_->open(kOne, all_.size(), Form::bytes);
  ASSERT_TRUE(write(*layer, 0, some_bytes(kBlockSize, 1)));
  {
    const Broken broken(file(kOne, ".bits"));
    EXPECT_EQ(cache_->evict_all(), 0u);
  }
  const auto outcome = write(*layer, 1, some_bytes(kBlockSize, 2));
  EXPECT_TRUE(outcome) << outcome.failure().message;
}

TEST_F(BrokenFileTest, eviction_goes_on_after_it_failed) {
  open();
  {
    filled(kOne);
    filled(kTwo);
    cache_->sync();
    const Broken one(file(kOne, ".bits")), two(file(kTwo, ".bits"));
    cache_->set_limits(2 * kExtent, 0.95, 0.5);  // starts one that comes to nothing
    for (int i = 0; i < 20; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(cache_->usage().bytes, 4 * kExtent);
  }
  const auto layer = cache_->open(kOne, all_.size(), Form::space);
  for (int i = 0; i < 1000 && cache_->usage().bytes > kExtent; ++i) {
    static_cast<void>(write(*layer, 0, {all_.begin(), all_.begin() + kExtent}));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LE(cache_->usage().bytes, kExtent);
}

TEST_F(BrokenFileTest, bits_that_cannot_be_written_are_taken_back_before_their_bytes_go) {
  open();
  const auto layer = filled(kOne);
  cache_->sync();
  {
    const NoWriting full;
    EXPECT_EQ(cache_->evict_all(), all_.size());
    EXPECT_FALSE(LayerFiles::peek(file(kOne, ".bits"))) << "bits of bytes that are gone";
  }
  cache_->sync();
  EXPECT_EQ(LayerFiles::peek(file(kOne, ".bits"))->bits, std::vector<uint64_t>(2));
}

TEST_F(BrokenFileTest, a_layer_that_lied_is_gone_also_when_the_disk_fails) {
  open();
  const auto layer = filled(kOne);
  cache_->sync();
  {
    const Broken broken(file(kOne, ".bits"));
    layer->discard();
    EXPECT_EQ(layer->bytes_present(), 0u);
    EXPECT_EQ(cache_->usage().bytes, 0u);
  }
  cache_->sync();
  EXPECT_EQ(LayerFiles::peek(file(kOne, ".bits"))->bits, std::vector<uint64_t>(2));
}

TEST_F(BrokenFileTest, pin_and_verification_count_at_once_and_are_saved_later) {
  open();
  const auto layer = filled(kOne);
  cache_->sync();
  {
    const Broken broken(file(kOne, ".bits"));
    layer->mark_verified();
    layer->set_pinned(true);
    EXPECT_TRUE(layer->verified());
    EXPECT_EQ(cache_->evict_all(), 0u);
  }
  cache_->sync();
  const auto facts = LayerFiles::peek(file(kOne, ".bits"));
  EXPECT_TRUE(facts->verified);
  EXPECT_TRUE(facts->pinned);
}

/// A cache whose disk is smaller than its quota.
class FullDiskTest : public CacheTest {
 protected:
  void SetUp() override {
    if (!disk_.mounted()) GTEST_SKIP() << "may not mount a tmpfs";
    open();
  }
  void TearDown() override { close(); }
  [[nodiscard]] fs::path folder() const override { return disk_.path(); }

  double failures() { return metrics_.counter("swarmfs_cache_disk_failures_total", "").value(); }
  void wait_for_file(const fs::path& file) {
    for (int i = 0; i < 1000 && !fs::exists(file); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(fs::exists(file)) << file;
  }

  support::SmallDisk disk_{"6m"};
};

TEST_F(FullDiskTest, what_is_read_takes_the_place_of_what_was) {
  const auto all = some_bytes(20 * kExtent, 9);
  const auto layer = cache_->open(kOne, all.size(), Form::bytes);
  testing::internal::CaptureStderr();
  for (uint64_t i = 0; i < 20; ++i) {
    const auto piece = all.begin() + static_cast<long>(i * kExtent);
    const auto outcome = write(*layer, i * 64, {piece, piece + kExtent}, Class::pull);
    ASSERT_TRUE(outcome) << i << ": " << outcome.failure().message;
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("is full"), log.rfind("is full")) << log;
  EXPECT_NE(log.find(folder().string()), std::string::npos) << log;
  EXPECT_GT(failures(), 0);
  for (uint64_t i = 0; i < 20; ++i) {
    const auto got = read(*layer, {i * kExtent, kExtent});
    EXPECT_TRUE(!got ||
                std::equal(got->begin(), got->end(), all.begin() + static_cast<long>(i * kExtent)));
  }
  const auto usage = cache_->usage();
  EXPECT_LE(usage.bytes, 6 * kExtent);
  EXPECT_GE(usage.bytes, 2 * kExtent);
  EXPECT_EQ(usage.quota, 100u << 20);
  EXPECT_LE(usage.most, 6 * kExtent);
  EXPECT_NE(usage.trouble, "");
}

TEST_F(FullDiskTest, bulk_that_nobody_waits_for_drives_out_nothing_that_is_open) {
  const auto layer = cache_->open(kOne, 20 * kExtent, Form::bytes);
  uint64_t kept = 0;
  for (uint64_t i = 0; i < 20; ++i)
    kept += bool(write(*layer, i * 64, some_bytes(kExtent, 1), Class::backfill));
  EXPECT_EQ(layer->bytes_present(), kept * kExtent);
  EXPECT_EQ(cache_->usage().evicted, 0u);
  EXPECT_GE(kept, 4u);
  EXPECT_FALSE(cache_->may_hold(kExtent, Class::backfill));
  EXPECT_TRUE(cache_->may_hold(kExtent, Class::fault));
}

TEST_F(FullDiskTest, where_others_took_all_nothing_is_kept_and_nothing_breaks) {
  disk_.fill();
  const auto layer = cache_->open(kOne, 4 * kExtent, Form::bytes);
  EXPECT_EQ(write(*layer, 0, some_bytes(kExtent, 1)).failure().fault, util::Fault::no_space);
  EXPECT_EQ(cache_->usage().bytes, 0u);
  cache_->sync();
  layer->mark_verified();
  layer->set_pinned(true);
  layer->set_pinned(false);
  layer->discard();
  cache_->save_document("index/abc", util::as_bytes("content"));
  cache_->save_document("slots", util::as_bytes(std::string(100'000, 's')));
  EXPECT_EQ(util::as_text(*cache_->load_document("index/abc")), "content");
  EXPECT_EQ(cache_->documents("index/"), std::vector<std::string>{"index/abc"});
  EXPECT_FALSE(fs::exists(folder() / "docs" / "slots"));

  disk_.free();
  wait_for_file(folder() / "docs" / "slots");
  ASSERT_TRUE(write(*layer, 0, some_bytes(kExtent, 1)));
  EXPECT_TRUE(read(*layer, {0, kExtent}));
  open();
  EXPECT_EQ(util::as_text(*cache_->load_document("index/abc")), "content");
  EXPECT_EQ(cache_->load_document("slots")->size(), 100'000u);
  EXPECT_TRUE(read(*cache_->open(kOne, 4 * kExtent, Form::bytes), {0, kExtent}));
}

TEST_F(FullDiskTest, a_document_drives_out_bytes) {
  const auto layer = cache_->open(kOne, 4 * kExtent, Form::bytes);
  ASSERT_TRUE(write(*layer, 0, some_bytes(4 * kExtent, 1)));
  disk_.fill();
  const std::string content(kExtent, 'd');
  cache_->save_document("index/abc", util::as_bytes(content));
  EXPECT_TRUE(fs::exists(folder() / "docs/index/abc"));
  EXPECT_LT(layer->bytes_present(), 4 * kExtent);
  EXPECT_GT(layer->bytes_present(), 0u);
}

TEST_F(FullDiskTest, a_waiting_document_can_be_replaced_and_removed) {
  disk_.fill();
  cache_->save_document("image/one", util::as_bytes("old"));
  cache_->save_document("image/one", util::as_bytes("new"));
  cache_->save_document("image/two", util::as_bytes("two"));
  cache_->remove_document("image/two");
  EXPECT_FALSE(cache_->load_document("image/two"));
  disk_.free();
  wait_for_file(folder() / "docs/image/one");
  open();
  EXPECT_EQ(util::as_text(*cache_->load_document("image/one")), "new");
  EXPECT_EQ(cache_->documents("image/").size(), 1u);
}

TEST_F(FullDiskTest, a_stop_on_a_full_disk_is_a_clean_one) {
  {
    const auto layer = cache_->open(kOne, 4 * kExtent, Form::bytes);
    ASSERT_TRUE(write(*layer, 0, some_bytes(4 * kExtent, 1)));
    layer->suspect({0, 1});  // so that the marker has something to say
  }
  disk_.fill();
  close();
  EXPECT_TRUE(fs::exists(folder() / "clean"));
  open();
  EXPECT_GT(cache_->usage().bytes, 0u);
}

TEST_F(FullDiskTest, what_a_failed_write_left_on_the_disk_is_found_and_freed) {
  const auto layer = cache_->open(kOne, 20 * kExtent, Form::bytes);
  const auto pinned = cache_->open(kTwo, 4 * kExtent, Form::bytes);
  pinned->set_pinned(true);
  ASSERT_TRUE(write(*pinned, 0, some_bytes(4 * kExtent, 1)));
  for (uint64_t i = 0; i < 8; ++i)
    static_cast<void>(write(*layer, i * 64 * 2, some_bytes(2 * kExtent, 1)));
  cache_->evict_all();
  cache_->sync();
  EXPECT_GT(fs::space(folder()).available, kExtent * 3 / 2);
}

TEST(DiskTroubleTest, is_told_once_per_episode) {
  util::Metrics metrics;
  DiskTrouble trouble("/some/where", metrics);
  const util::SysError full(ENOSPC, "write it"), broken(EIO, "sync it");
  const auto start = std::chrono::steady_clock::now();
  const auto lines = [&](const util::SysError& error, util::SteadyTime now) {
    testing::internal::CaptureStderr();
    for (int i = 0; i < 100; ++i) trouble.failed(error, now);
    const std::string log = testing::internal::GetCapturedStderr();
    return std::count(log.begin(), log.end(), '\n');
  };
  EXPECT_EQ(lines(full, start), 1);
  EXPECT_EQ(lines(full, start + DiskTrouble::kCalm / 2), 0);
  EXPECT_EQ(lines(broken, start + DiskTrouble::kCalm / 2), 1);
  trouble.look(start + DiskTrouble::kCalm);
  EXPECT_NE(trouble.text(), "");
  EXPECT_EQ(lines(full, start + DiskTrouble::kCalm), 0);
  trouble.look(start + 2 * DiskTrouble::kCalm);
  EXPECT_EQ(trouble.text(), "");
  EXPECT_EQ(lines(full, start + 3 * DiskTrouble::kCalm), 1);
}

TEST(AllowanceTest, follows_the_disk_down_and_up) {
  Allowance allowance;
  allowance.set(1000, 0.9, 0.5);
  allowance.disk_takes(200);
  EXPECT_EQ(allowance.high(), 900u) << "a disk that was never full sets no limit";
  allowance.disk_was_full(100);
  EXPECT_EQ(allowance.high(), 90u);
  EXPECT_EQ(allowance.low(), 50u);
  allowance.disk_takes(80);
  EXPECT_EQ(allowance.high(), 90u) << "what was freed may not be seen yet";
  allowance.disk_takes(200);
  EXPECT_EQ(allowance.high(), 180u);
  allowance.disk_takes(1000);
  EXPECT_FALSE(allowance.disk_is_smaller());
  EXPECT_EQ(allowance.high(), 900u);
}

}  // namespace
}  // namespace swarmfs::cache
