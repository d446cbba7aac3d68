// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/chunk_cache.h"
#include "chunk/hash_tree.h"
#include "fetch/fetcher.h"
#include "support/fake_source.h"
#include "support/tar_maker.h"
#include "support/temporary_directory.h"

namespace swarmfs::fetch {

/// A fetcher over a real cache and sources that answer when they are told to.
class FetchTest : public testing::Test {
 protected:
  static constexpr uint64_t kSize = (8 << 20) + 123;
  using Milliseconds = std::chrono::milliseconds;

  struct Read {
    std::future<util::Outcome<std::string>> answer;
    util::Operation operation;
    [[nodiscard]] bool is_ready() const {
      return answer.wait_for(Milliseconds(0)) == std::future_status::ready;
    }
  };

  ~FetchTest() override {
    if (fetcher_) fetcher_->stop();
    layer_.reset();
    fetcher_.reset();
  }
  void start_over(std::vector<chunk::Source*> sources, FetchOptions options, uint64_t quota) {
    cache_.emplace(cache::CacheOptions{directory_.path(), quota}, timers_, workers_, metrics_);
    fetcher_.emplace(*cache_, std::move(sources), options, timers_, metrics_);
    layer_ = fetcher_->open({util::Sha256::of(util::as_bytes(content_)), kSize, {}});
  }
  void start(FetchOptions options = {}, uint64_t quota = 1 << 30) {
    start_over({&source_}, options, quota);
  }
  void start_with_peer(FetchOptions options = {}) {
    start_over({&peer_, &source_}, options, 1 << 30);
  }
  [[nodiscard]] std::shared_ptr<const chunk::HashTree> tree() const {
    chunk::HashTreeBuilder builder;
    builder.feed(util::as_bytes(content_));
    return std::make_shared<const chunk::HashTree>(builder.finish());
  }

  Read read(util::ByteRange range, chunk::FetchContext context) {
    auto promise = std::make_shared<std::promise<util::Outcome<std::string>>>();
    Read made{promise->get_future(), {}};
    made.operation = fetcher_->read(
        layer_, range, std::move(context), [promise](util::Outcome<util::SharedBytes> outcome) {
          if (outcome)
            promise->set_value(std::string(util::as_text(outcome->view())));
          else
            promise->set_value(outcome.failure());
        });
    return made;
  }
  Read read(util::ByteRange range, chunk::Class cls = chunk::Class::fault) {
    return read(range, chunk::FetchContext{cls, util::SteadyTime::max(), "", false});
  }
  Read read_for_peer(util::ByteRange range) {
    return read(range, chunk::FetchContext{chunk::Class::fault, util::SteadyTime::max(), "", true});
  }
  static chunk::Plan in_turns(util::ByteRange range, util::Duration hedge) {
    return {.length = range.length, .hedge = hedge, .in_turns = true};
  }
  /// Else what comes fills the link, and that is reason enough to wait.
  static void widen(util::LinkGauge& link) {
    link.arrived(1 << 30, std::chrono::steady_clock::now() - std::chrono::seconds(4));
  }
  /// Every request, until it was brought in; looks so often, 5 ms apart.
  void answer_until(std::promise<util::Outcome<util::Done>>& brought_in, int looks = 500) {
    auto done = brought_in.get_future();
    for (int i = 0; i < looks && done.wait_for(Milliseconds(5)) != std::future_status::ready; ++i)
      source_.answer_all();
    ASSERT_EQ(done.wait_for(std::chrono::seconds(1)), std::future_status::ready);
    EXPECT_TRUE(done.get());
  }
  void expect_bytes(Read& read, util::ByteRange range) {
    ASSERT_EQ(read.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    const auto outcome = read.answer.get();
    ASSERT_TRUE(outcome) << outcome.failure().message;
    EXPECT_TRUE(*outcome == content_.substr(range.offset, range.length));
  }
  static void expect_fault(Read& read, util::Fault fault) {
    ASSERT_EQ(read.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    const auto outcome = read.answer.get();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.failure().fault, fault) << outcome.failure().message;
  }
  /// For what another thread does soon.
  template <class Condition>
  static void await(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(Milliseconds(1));
    EXPECT_TRUE(condition());
  }
  /// Through layer_, into the cache.
  void bring_first_block() {
    auto one = read({0, 100}, chunk::Class::pull);
    source_.answer_all();
    expect_bytes(one, {0, 100});
    await_cached({0, 100});
  }
  /// What is in flight has reached the cache.
  void await_cached(util::ByteRange range) {
    await([&] { return layer_->stored().has(chunk::blocks_covering(range)); });
  }
  [[nodiscard]] double mismatches(const std::string& source) {
    return metrics_
        .counter("swarmfs_verification_failures_total", "Bytes that did not match their digest",
                 {{"source", source}})
        .value();
  }

  const std::string content_ = support::noise(kSize, 11);
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  support::FakeSource source_{content_};
  support::FakeSource peer_{content_, chunk::SourceKind::peer};
  std::optional<cache::ChunkCache> cache_;
  std::optional<Fetcher> fetcher_;
  std::shared_ptr<Layer> layer_;
};

}  // namespace swarmfs::fetch
