// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <array>
#include <fstream>
#include <thread>

#include "cache_fixture.h"
#include "util/error.h"

namespace swarmfs::cache {
namespace {

namespace fs = std::filesystem;
using chunk::BlockIndex;
using chunk::Class;
using chunk::Form;
using chunk::kBlockSize;

TEST_F(CacheTest, gives_back_what_was_written_also_after_a_restart) {
  const uint64_t size = 3 * (1 << 20) + 777;
  const auto all = some_bytes(size, 7);
  open();
  {
    const auto layer = cache_->open(kOne, size, Form::bytes);
    EXPECT_FALSE(layer->has({0, 1}));
    EXPECT_EQ(read(*layer, {0, 10}).failure().fault, util::Fault::not_found);
    ASSERT_TRUE(write(*layer, 0, {all.begin(), all.begin() + (1 << 20)}));
    const uint64_t tail = size / kBlockSize;
    ASSERT_TRUE(
        write(*layer, tail, {all.begin() + static_cast<long>(tail * kBlockSize), all.end()}));
    EXPECT_EQ(layer->missing({0, chunk::block_count(size)}),
              (std::vector<chunk::BlockRange>{{64, tail - 64}}));
    cache_->sync();
  }
  open();
  EXPECT_EQ(cache_->layers(), std::vector<util::Digest>{kOne});
  EXPECT_EQ(cache_->size_of(kOne), size);
  const auto layer = cache_->open(kOne, size, Form::bytes);
  for (const util::ByteRange range :
       {util::ByteRange{0, 1 << 20}, {5, 100'000}, {size - 700, 700}, {kBlockSize - 1, 2}}) {
    const auto bytes = read(*layer, range);
    ASSERT_TRUE(bytes) << bytes.failure().message;
    EXPECT_TRUE(
        std::equal(bytes->begin(), bytes->end(), all.begin() + static_cast<long>(range.offset)));
    EXPECT_EQ(bytes->size(), range.length);
  }
}

TEST_F(CacheTest, evicts_the_oldest_and_keeps_pinned_layers) {
  open(4 << 20);
  const auto pinned = cache_->open(kOne, 1 << 20, Form::bytes);
  pinned->set_pinned(true);
  ASSERT_TRUE(write(*pinned, 0, some_bytes(1 << 20, 1)));
  const auto big = cache_->open(kTwo, 64 << 20, Form::bytes);
  for (uint64_t i = 0; i < 16; ++i) {
    // Eviction runs beside the writers; a refusal means: serve without keeping.
    const auto outcome = write(*big, i * 64, some_bytes(1 << 20, 2));
    EXPECT_TRUE(outcome || outcome.failure().fault == util::Fault::no_space);
    EXPECT_LE(cache_->usage().bytes, 4u << 20);
  }
  EXPECT_EQ(pinned->bytes_present(), 1u << 20);
  EXPECT_GT(cache_->usage().evicted, 0u);
}

/// Windows, an eighth of the quota, then more of another layer than there is room for.
class WindowsEvictionTest : public CacheTest {
 protected:
  std::shared_ptr<chunk::StoredLayer> write_windows() {
    open(8 << 20);
    auto windows = cache_->open(kOne, 1 << 20, Form::windows);
    EXPECT_TRUE(write(*windows, 0, some_bytes(1 << 20, 1)));
    return windows;
  }
  /// How many of 16 writes of 1 MiB were refused.
  static unsigned fill(chunk::StoredLayer& layer, chunk::Class cls) {
    unsigned refused = 0;
    for (uint64_t i = 0; i < 16; ++i) {
      refused += !write(layer, i * 64, some_bytes(1 << 20, 3), cls);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // eviction runs beside
    }
    return refused;
  }
};

TEST_F(WindowsEvictionTest, those_that_nobody_needs_make_room_also_for_backfill) {
  write_windows();
  const auto layer = cache_->open(kTwo, 16 << 20, Form::bytes);
  EXPECT_LT(fill(*layer, chunk::Class::backfill), 16u);
  EXPECT_LT(cache_->open(kOne, 1 << 20, Form::windows)->bytes_present(), 1u << 20);
  EXPECT_GT(layer->bytes_present(), 2u << 20) << "it is open";
}

TEST_F(WindowsEvictionTest, those_in_use_outlive_all_bytes) {
  const auto windows = write_windows();
  const auto layer = cache_->open(kTwo, 64 << 20, Form::bytes);
  EXPECT_LT(fill(*layer, chunk::Class::fault), 16u);
  EXPECT_EQ(windows->bytes_present(), 1u << 20);
  EXPECT_GT(cache_->usage().evicted, 0u);
}

TEST_F(WindowsEvictionTest, none_goes_where_all_that_can_be_had_again_is_to_go) {
  write_windows();
  const auto layer = cache_->open(kTwo, 16 << 20, Form::bytes);
  ASSERT_TRUE(write(*layer, 0, some_bytes(1 << 20, 3)));
  EXPECT_EQ(cache_->evict_all(), 1u << 20);
  EXPECT_EQ(cache_->open(kOne, 1 << 20, Form::windows)->bytes_present(), 1u << 20);
}

TEST_F(CacheTest, new_limits_hold_at_once) {
  open(1 << 20);
  {
    const auto layer = cache_->open(kOne, 64 << 20, Form::bytes);
    EXPECT_FALSE(write(*layer, 0, some_bytes(2 << 20, 4)));
    cache_->set_limits(10 << 20, 0.95, 0.5);
    EXPECT_EQ(cache_->usage().quota, 10u << 20);
    for (uint64_t i = 0; i < 8; ++i)
      ASSERT_TRUE(write(*layer, i * 64, some_bytes(1 << 20, 4), Class::backfill));
    EXPECT_EQ(cache_->usage().evicted, 0u);
    cache_->sync();
    cache_->set_limits(4 << 20, 0.95, 0.5);
  }
  open();  // when the eviction has ended; this one has room for all
  EXPECT_LE(cache_->usage().bytes, 2u << 20);
  EXPECT_GT(cache_->usage().bytes, 0u);
}

TEST_F(CacheTest, drops_a_layer_whose_bitmap_is_damaged) {
  open();
  {
    const auto layer = cache_->open(kOne, 1 << 20, Form::bytes);
    ASSERT_TRUE(write(*layer, 0, some_bytes(1 << 20, 3)));
    cache_->sync();
  }
  close();
  const auto bits = directory_.path() / "layers" / (kOne.hex() + ".bits");
  std::fstream(bits, std::ios::in | std::ios::out | std::ios::binary).seekp(50).put('!');
  open();
  EXPECT_FALSE(cache_->open(kOne, 1 << 20, Form::bytes)->has({0, 1}));
}

/// A layer of 8 blocks and a bit that lies in a cache whose daemon did not stop cleanly.
class SuspectTest : public CacheTest {
 protected:
  static constexpr uint64_t kSize = 8 * kBlockSize + 100;

  void fill() {
    open();
    const auto layer = cache_->open(kOne, kSize, Form::bytes);
    ASSERT_TRUE(write(*layer, 0, all_));
    cache_->sync();
  }
  void crash() {
    close();
    std::filesystem::remove(directory_.path() / "clean");
  }
  void damage(uint64_t at) const {
    const auto file = directory_.path() / "layers" / (kOne.hex() + ".bytes");
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(at))
        .put('!');
  }
  std::shared_ptr<chunk::StoredLayer> reopen() {
    open();
    return cache_->open(kOne, kSize, Form::bytes);
  }
  void expect_bytes(chunk::StoredLayer& layer, util::ByteRange range) const {
    const auto bytes = read(layer, range);
    ASSERT_TRUE(bytes) << bytes.failure().message;
    ASSERT_EQ(bytes->size(), range.length);
    EXPECT_TRUE(
        std::equal(bytes->begin(), bytes->end(), all_.begin() + static_cast<long>(range.offset)));
  }
  [[nodiscard]] std::shared_ptr<const chunk::HashTree> tree() const {
    chunk::HashTreeBuilder builder;
    builder.feed(all_);
    return std::make_shared<const chunk::HashTree>(builder.finish());
  }
  double wrong() {
    return metrics_.counter("swarmfs_verification_failures_total", "", {{"source", "cache"}})
        .value();
  }

  const util::Bytes all_ = some_bytes(kSize, 5);
};

TEST_F(SuspectTest, a_block_that_rotted_before_an_unclean_stop_is_never_read) {
  fill();
  crash();
  damage(3 * kBlockSize + 7);
  damage(kSize - 1);
  const auto layer = reopen();
  layer->trust(tree());
  expect_bytes(*layer, {kBlockSize + 5, kBlockSize});
  EXPECT_EQ(read(*layer, {3 * kBlockSize, 10}).failure().fault, util::Fault::not_found);
  EXPECT_EQ(read(*layer, {kSize - 3, 2}).failure().fault, util::Fault::not_found);
  EXPECT_EQ(layer->missing({0, 9}), (std::vector<chunk::BlockRange>{{3, 1}, {8, 1}}));
  EXPECT_EQ(layer->bytes_present(), 7 * kBlockSize);
  EXPECT_EQ(cache_->usage().bytes, 7 * kBlockSize);
  EXPECT_EQ(wrong(), 2);

  const auto third = all_.begin() + 3 * kBlockSize;
  ASSERT_TRUE(write(*layer, 3, {third, third + kBlockSize}));
  expect_bytes(*layer, {0, 8 * kBlockSize});
}

TEST_F(SuspectTest, a_suspect_block_is_no_hit_until_it_was_checked) {
  fill();
  crash();
  const auto layer = reopen();
  layer->trust(tree());
  std::array<std::byte, 100> into{};
  EXPECT_FALSE(layer->try_read_now({kBlockSize, 100}, into.data()));
  expect_bytes(*layer, {kBlockSize, 100});
  EXPECT_TRUE(layer->try_read_now({kBlockSize, 100}, into.data()));
  EXPECT_TRUE(std::equal(into.begin(), into.end(), all_.begin() + kBlockSize));
  EXPECT_FALSE(layer->try_read_now({2 * kBlockSize, 100}, into.data()));
}

TEST_F(SuspectTest, the_loss_of_a_wrong_block_is_durable_and_ends_the_whole_layers_verification) {
  fill();
  reopen()->mark_verified();
  crash();
  damage(0);
  {
    const auto layer = reopen();
    EXPECT_TRUE(layer->verified());
    layer->trust(tree());
    EXPECT_FALSE(read(*layer, {0, 10}));
  }
  const auto layer = reopen();
  EXPECT_FALSE(layer->verified());
  EXPECT_EQ(layer->missing({0, 9}), (std::vector<chunk::BlockRange>{{0, 1}}));
}

TEST_F(SuspectTest, after_a_clean_stop_nothing_is_suspect) {
  fill();
  const auto layer = reopen();
  layer->trust(tree());
  std::byte one{};
  expect_bytes(*layer, {0, 10});  // into the page cache
  EXPECT_TRUE(layer->try_read_now({0, 1}, &one));
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "clean")) << "while a daemon runs";
}

TEST_F(SuspectTest, suspicion_outlives_a_clean_stop) {
  fill();
  crash();
  damage(5 * kBlockSize);
  EXPECT_TRUE(read(*reopen(), {0, 10})) << "without a tree there is nothing to check against";
  const auto layer = reopen();
  layer->trust(tree());
  EXPECT_FALSE(read(*layer, {0, kSize}));
  EXPECT_EQ(layer->missing({0, 9}), (std::vector<chunk::BlockRange>{{5, 1}}));
}

TEST_F(SuspectTest, a_layer_that_matched_its_digest_is_above_suspicion) {
  fill();
  crash();
  reopen()->mark_verified();
  const auto layer = reopen();
  layer->trust(tree());
  std::byte one{};
  expect_bytes(*layer, {0, 10});
  EXPECT_TRUE(layer->try_read_now({0, 1}, &one));
}

TEST_F(SuspectTest, blocks_can_be_put_under_suspicion) {
  fill();
  damage(kBlockSize);
  const auto layer = cache_->open(kOne, kSize, Form::bytes);
  layer->trust(tree());
  layer->suspect({1, 2});
  EXPECT_FALSE(read(*layer, {kBlockSize, 2 * kBlockSize}));
  EXPECT_EQ(layer->missing({0, 9}), (std::vector<chunk::BlockRange>{{1, 1}}));
}

TEST_F(SuspectTest, what_was_read_ahead_before_the_suspicion_is_not_handed_out) {
  open();
  constexpr uint64_t kStep = 128 * 1024;
  const auto all = some_bytes(1 << 20, 8);
  chunk::HashTreeBuilder builder;
  builder.feed(all);
  const auto layer = cache_->open(kOne, all.size(), Form::bytes);
  ASSERT_TRUE(write(*layer, 0, all));
  layer->trust(std::make_shared<const chunk::HashTree>(builder.finish()));
  EXPECT_TRUE(read(*layer, {0, kStep}));
  EXPECT_TRUE(read(*layer, {kStep, kStep}));  // the next two are read ahead
  damage(2 * kStep + 5);
  layer->suspect({0, 64});
  EXPECT_EQ(read(*layer, {2 * kStep, kStep}).failure().fault, util::Fault::not_found);
}

TEST_F(CacheTest, discards_a_layer_that_lied) {
  open();
  const auto layer = cache_->open(kOne, 1 << 20, Form::bytes);
  ASSERT_TRUE(write(*layer, 0, some_bytes(1 << 20, 3)));
  layer->discard();
  EXPECT_EQ(layer->bytes_present(), 0u);
  EXPECT_EQ(read(*layer, {0, 10}).failure().fault, util::Fault::not_found);
}

TEST_F(CacheTest, a_sequential_reader_gets_right_bytes_also_after_the_layer_was_replaced) {
  const uint64_t size = (5 << 20) + 321, step = 256 * 1024;
  open();
  const auto layer = cache_->open(kOne, size, Form::bytes);
  for (const unsigned seed : {1u, 2u}) {
    const auto all = some_bytes(size, seed);
    ASSERT_TRUE(write(*layer, 0, all));
    // Stops in the middle: what was read ahead must not outlive discard().
    const uint64_t end = seed == 1 ? size / 2 : size;
    for (uint64_t at = 0; at < end; at += step) {
      const auto range = util::ByteRange{at, step}.clamp(size);
      const auto got = read(*layer, range);
      ASSERT_TRUE(got) << got.failure().message;
      ASSERT_TRUE(std::equal(got->begin(), got->end(), all.begin() + static_cast<long>(at))) << at;
    }
    if (seed == 1) layer->discard();
  }
}

TEST_F(CacheTest, a_sequential_reader_gets_what_came_after_it_was_to_be_read_ahead) {
  constexpr uint64_t kStep = 256 * 1024;
  open();
  const auto all = some_bytes(3 * kStep, 4);
  const auto layer = cache_->open(kOne, all.size(), Form::bytes);
  const auto part = [&](uint64_t from, uint64_t to) {
    return util::Bytes(all.begin() + static_cast<long>(from), all.begin() + static_cast<long>(to));
  };
  ASSERT_TRUE(write(*layer, 0, part(0, 2 * kStep)));
  EXPECT_TRUE(read(*layer, {0, kStep}));
  EXPECT_TRUE(read(*layer, {kStep, kStep}));  // the next is not here to be read ahead
  ASSERT_TRUE(write(*layer, 2 * kStep / kBlockSize, part(2 * kStep, 3 * kStep)));
  const auto got = read(*layer, {2 * kStep, kStep});
  ASSERT_TRUE(got) << got.failure().message;
  EXPECT_EQ(*got, part(2 * kStep, 3 * kStep));
}

class NoLimits final : public Budget {
 public:
  bool reserve(uint64_t, chunk::Class) override { return true; }
  void give_back(uint64_t) override {}
  void disk_failed(const util::SysError&) override {}
  bool make_room(uint64_t, chunk::Class, std::function<void(bool)>) override { return false; }
  void check(std::function<void()> job) override { job(); }
  void count_wrong(uint64_t) override {}
};

TEST_F(CacheTest, a_sequential_reader_gets_its_bytes_where_buffers_are_too_scarce_to_read_ahead) {
  constexpr uint64_t kStep = 256 * 1024;
  NoLimits budget;
  io::Queue queue(16, 1);
  const auto taken = queue.buffers().take(1);
  ASSERT_TRUE(queue.buffers().scarce());
  const auto all = some_bytes(4 * kStep, 4);
  const auto layer = std::make_shared<CachedLayer>(
      LayerFiles(directory_.path(), kOne, Form::bytes, all.size()), queue, budget);
  ASSERT_TRUE(write(*layer, 0, all));
  for (uint64_t at = 0; at < all.size(); at += kStep) {
    const auto got = read(*layer, {at, kStep});
    ASSERT_TRUE(got) << at << ": " << got.failure().message;
    EXPECT_TRUE(std::equal(got->begin(), got->end(), all.begin() + static_cast<long>(at))) << at;
  }
}

TEST_F(CacheTest, a_layer_that_holds_nothing_and_that_nobody_wants_loses_its_files) {
  open();
  const auto files = [&] {
    const fs::directory_iterator all(directory_.path() / "layers");
    return std::distance(begin(all), end(all));
  };
  const uint64_t size = 1 << 20;
  {
    ASSERT_TRUE(write(*cache_->open(kTwo, size, Form::bytes), 0, some_bytes(size, 3)));
    auto layer = cache_->open(kOne, size, Form::bytes);
    ASSERT_TRUE(write(*layer, 0, some_bytes(size, 3)));
    layer->discard();
    cache_->drop_empty();
    EXPECT_EQ(files(), 4) << "one is open, one holds something";
    layer->set_pinned(true);
    layer.reset();
    cache_->drop_empty();
    EXPECT_EQ(files(), 4);
    cache_->open(kOne, size, Form::bytes)->set_pinned(false);
  }
  for (int i = 0; i < 1000 && files() > 2; ++i) {  // the tick's sync may hold it
    cache_->drop_empty();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(files(), 2);
  EXPECT_EQ(cache_->layers(), std::vector<util::Digest>{kTwo});
  ASSERT_TRUE(write(*cache_->open(kOne, size, Form::bytes), 0, some_bytes(size, 5)));
  open();
  EXPECT_EQ(read(*cache_->open(kOne, size, Form::bytes), {0, size}).value(), some_bytes(size, 5));
}

TEST_F(CacheTest, refuses_a_second_daemon) {
  open();
  EXPECT_THROW(ChunkCache(CacheOptions{directory_.path()}, timers_, workers_, metrics_),
               util::Error);
}

TEST_F(CacheTest, keeps_documents) {
  open();
  cache_->save_document("index/abc", util::as_bytes("content"));
  cache_->save_document("slots", util::as_bytes("1"));
  open();
  const auto document = cache_->load_document("index/abc");
  ASSERT_TRUE(document);
  EXPECT_EQ(util::as_text(*document), "content");
  EXPECT_EQ(cache_->documents("index/"), std::vector<std::string>{"index/abc"});
  cache_->remove_document("index/abc");
  EXPECT_FALSE(cache_->load_document("index/abc"));
}

}  // namespace
}  // namespace swarmfs::cache
