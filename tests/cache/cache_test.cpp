// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <optional>

#include "cache/chunk_cache.h"
#include "support/tar_maker.h"
#include "support/temporary_directory.h"
#include "util/error.h"

namespace swarmfs::cache {
namespace {

using chunk::BlockIndex;
using chunk::Class;
using chunk::Form;
using chunk::kBlockSize;
using util::Outcome;

util::Bytes some_bytes(size_t size, unsigned seed) {
  const std::string text = support::noise(size, seed);
  const auto view = util::as_bytes(text);
  return {view.begin(), view.end()};
}

/// A cache over a folder that outlives it.
class CacheTest : public testing::Test {
 protected:
  void open(uint64_t quota = 100 << 20) {
    close();
    cache_.emplace(CacheOptions{directory_.path(), quota, 0.95, 0.5, std::chrono::milliseconds(20)},
                   timers_, workers_, metrics_);
  }
  void close() { cache_.reset(); }

  static Outcome<util::Done> write(chunk::StoredLayer& layer, uint64_t block, util::Bytes bytes,
                                   Class cls = Class::fault) {
    std::promise<Outcome<util::Done>> done;
    layer.write(BlockIndex{block}, util::SharedBytes::of(std::move(bytes)), cls,
                [&](Outcome<util::Done> outcome) { done.set_value(std::move(outcome)); });
    return done.get_future().get();
  }
  static Outcome<util::Bytes> read(chunk::StoredLayer& layer, util::ByteRange range) {
    std::promise<Outcome<util::Bytes>> done;
    layer.read(range, [&](Outcome<util::SharedBytes> outcome) {
      if (!outcome) return done.set_value(outcome.failure());
      done.set_value(util::Bytes(outcome->view().begin(), outcome->view().end()));
    });
    return done.get_future().get();
  }

  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  std::optional<ChunkCache> cache_;
};

const util::Digest kOne = util::Sha256::of(util::as_bytes("one"));
const util::Digest kTwo = util::Sha256::of(util::as_bytes("two"));

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
