// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <optional>

#include "cache/chunk_cache.h"
#include "fetch/fetcher.h"
#include "registry/registry_source.h"
#include "support/scripted_server.h"
#include "support/temporary_directory.h"

namespace swarmfs::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using support::ScriptedServer;
using util::ByteRange;
using util::Fault;
using util::Outcome;

constexpr uint64_t kSize = (70 << 20) + 777;

std::string make_content() {
  std::string made(kSize, '\0');
  for (uint64_t i = 0; i + 8 <= kSize; i += 8) {
    const uint64_t word = i * 0x9e3779b97f4a7c15;
    std::memcpy(made.data() + i, &word, 8);
  }
  return made;
}
const std::string kContent = make_content();

/// A registry that answers every range with all of the blob.
class WholeTest : public testing::Test {
 protected:
  struct Got {
    std::string bytes;
    std::promise<Outcome<util::Done>> done;
    std::unique_ptr<chunk::Transfer> transfer;
  };
  ~WholeTest() override {
    if (fetcher_) fetcher_->stop();
  }
  std::shared_ptr<Got> fetch(ByteRange range, chunk::Class cls = chunk::Class::pull) {
    auto got = std::make_shared<Got>();
    got->transfer = source_.fetch(
        layer_, range, {cls, std::chrono::steady_clock::now() + seconds(20), "", false, false},
        [raw = got.get()](util::ByteView bytes) { raw->bytes += util::as_text(bytes); },
        [raw = got.get()](Outcome<util::Done> outcome) {
          raw->done.set_value(std::move(outcome));
        });
    return got;
  }
  static Outcome<util::Done> end_of(Got& got) {
    auto future = got.done.get_future();
    if (future.wait_for(seconds(20)) != std::future_status::ready)
      return util::Failure{Fault::invalid, "it does not end"};
    return future.get();
  }
  static void expect_range(Got& got, ByteRange range) {
    const auto outcome = end_of(got);
    ASSERT_TRUE(outcome) << outcome.failure().message;
    EXPECT_TRUE(got.bytes == kContent.substr(range.offset, range.length));
  }
  void learn() {
    EXPECT_FALSE(plan().front_to_back);
    const auto first = fetch({kSize - 100, 100});
    EXPECT_EQ(end_of(*first).failure().fault, Fault::unavailable);
    EXPECT_TRUE(first->bytes.empty());
    EXPECT_TRUE(plan().front_to_back);
  }
  chunk::Plan plan() { return *source_.plan(layer_, {0, kSize}, {}); }

  ScriptedServer server_{[](const ScriptedServer::Asked&) {
    return ScriptedServer::Answer{200, kContent, {}};
  }};
  const chunk::LayerRef layer_{
      util::Sha256::of(util::as_bytes(kContent)), kSize, {{server_.host(), "app"}}};
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  http::Client http_{8};
  RegistryClient client_{http_, {}, timers_, metrics_};
  RegistrySource source_{client_, timers_};
  std::optional<cache::ChunkCache> cache_;
  std::optional<fetch::Fetcher> fetcher_;
};

TEST_F(WholeTest, it_is_found_out_once_and_then_no_range_is_asked_for) {
  learn();
  const auto one = fetch({kSize - 100, 100});
  expect_range(*one, {kSize - 100, 100});
  ASSERT_EQ(server_.asked().size(), 2u);
  EXPECT_NE(server_.asked()[0].header("Range"), "");
  EXPECT_EQ(server_.asked()[1].header("Range"), "");
  EXPECT_TRUE(source_.plan({layer_.digest, kSize, {{server_.host(), "other"}}}, {0, 1}, {})
                  ->front_to_back == false)
      << "another repository may lie elsewhere";
  client_.reload({});
  EXPECT_FALSE(plan().front_to_back);
}

TEST_F(WholeTest, a_range_that_is_the_whole_blob_says_nothing) {
  const auto all = fetch({0, kSize});
  expect_range(*all, {0, kSize});
  EXPECT_FALSE(plan().front_to_back);
}

TEST_F(WholeTest, all_ranges_ahead_are_served_by_one_stream) {
  learn();
  const ByteRange far{69 << 20, 100'000}, near{0, 2 << 20}, next{2 << 20, 2 << 20},
      same{(3 << 20) + 7, 50};
  std::vector<std::shared_ptr<Got>> got;
  for (const auto& range : {far, near, next, same}) got.push_back(fetch(range));
  expect_range(*got[1], near);
  expect_range(*got[2], next);
  expect_range(*got[3], same);
  expect_range(*got[0], far);
  EXPECT_EQ(server_.asked().size(), 2u);
}

TEST_F(WholeTest, a_stream_waits_for_a_slow_reader_and_nothing_is_lost) {
  learn();
  for (uint64_t at = 0; at < 8 << 20; at += 1 << 20) {
    const auto piece = fetch({at, 1 << 20});
    expect_range(*piece, {at, 1 << 20});
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(server_.asked().size(), 2u);
}

TEST_F(WholeTest, what_has_passed_is_streamed_anew) {
  learn();
  const auto later = fetch({5 << 20, 100}), other = fetch({6 << 20, 100});
  expect_range(*later, {5 << 20, 100});
  expect_range(*other, {6 << 20, 100});
  const auto back = fetch({1 << 20, 100});
  // The server has one line: the stream that nobody wants any more must let go of it.
  expect_range(*back, {1 << 20, 100});
  EXPECT_EQ(server_.asked().size(), 3u);
}

TEST_F(WholeTest, a_dropped_reader_is_not_called_and_others_are_served) {
  learn();
  auto dropped = fetch({60 << 20, 1 << 20});
  const auto kept = fetch({65 << 20, 1000});
  dropped->transfer.reset();
  expect_range(*kept, {65 << 20, 1000});
  EXPECT_TRUE(dropped->bytes.empty());
}

TEST_F(WholeTest, one_far_read_brings_the_whole_layer_into_the_cache_with_one_stream) {
  cache_.emplace(cache::CacheOptions{directory_.path(), 1 << 30}, timers_, workers_, metrics_);
  fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&source_}, fetch::FetchOptions{}, timers_,
                   metrics_);
  const auto layer = fetcher_->open(layer_);
  std::promise<Outcome<std::string>> done;
  const ByteRange range{66 << 20, 12'345};
  const auto read = fetcher_->read(layer, range, {}, [&](const Outcome<util::SharedBytes>& bytes) {
    if (bytes)
      done.set_value(std::string(util::as_text(bytes->view())));
    else
      done.set_value(bytes.failure());
  });
  const auto bytes = done.get_future().get();
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == kContent.substr(range.offset, range.length));
  EXPECT_TRUE(layer->front_to_back());
  const auto all = chunk::blocks_covering({0, kSize});
  for (int i = 0; i < 2000 && !layer->stored().has(all); ++i)
    std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(layer->stored().has(all));
  EXPECT_EQ(server_.asked().size(), 2u);
  EXPECT_EQ(layer->bytes_by_source().at("registry"), kSize) << "each byte once";
}

}  // namespace
}  // namespace swarmfs::registry
