// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>

#include "cache/chunk_cache.h"
#include "content/data_reader.h"
#include "content/layer_library.h"
#include "layer/indexer.h"
#include "support/fake_source.h"
#include "support/tar_maker.h"
#include "support/temporary_directory.h"

namespace swarmfs::content {

inline const std::string kFile = support::noise(900'000, 2);

/// `mode` makes archives that differ in nothing but their metadata.
inline std::string make_layer(unsigned mode = 0644) {
  support::TarMaker tar;
  tar.directory("etc").file("etc/one", support::noise(300'000, 1)).file("big", kFile, mode);
  return support::gzip(tar.finish());
}

inline layer::Indexed indexed(const std::string& layer) {
  layer::Indexer indexer;
  indexer.feed(util::as_bytes(layer));
  return indexer.finish();
}

inline layer::LayerIndex index_of(const std::string& layer) {
  return indexed(layer).index;
}

inline std::string windows_of(const std::string& layer) {
  return std::string(util::as_text(indexed(layer).windows));
}

inline std::shared_ptr<const chunk::HashTree> tree_of(const std::string& bytes) {
  chunk::HashTreeBuilder builder;
  builder.feed(util::as_bytes(bytes));
  return std::make_shared<const chunk::HashTree>(builder.finish());
}

inline std::string damaged(std::string bytes, size_t at = 100'000) {
  bytes[at] ^= 0x55;
  return bytes;
}

/// Gives the claims that the test put in, in order.
class FakeClaims final : public ClaimSource {
 public:
  std::optional<SealedLayer> find(const chunk::LayerRef&) override {
    if (offers.empty()) return std::nullopt;
    auto offer = std::move(offers.front());
    offers.pop_front();
    return offer;
  }
  std::optional<SealedLayer> find_soon(const chunk::LayerRef& ref, util::SteadyTime) override {
    ++looks;
    if (while_looking) while_looking();
    return find(ref);
  }
  void proven(const fetch::Layer& layer) override { hashed.push_back(layer.ref().digest); }
  void blame(const std::string& claimant, const util::Digest&, const std::string& why) override {
    blamed.push_back(claimant);
    reasons += why + "\n";
  }
  std::string sign(const util::Digest& layer, uint64_t size, const util::Digest& root,
                   const util::Digest& index) override {
    return layer.hex() + " " + std::to_string(size) + " " + root.hex() + " " + index.hex();
  }
  std::deque<SealedLayer> offers;
  std::atomic<int> looks{0};            ///< of find_soon()
  std::function<void()> while_looking;  ///< likewise
  std::vector<std::string> blamed;
  std::vector<util::Digest> hashed;
  std::string reasons;
};

/// A library over a real cache, and a registry that serves what the test wants; it gives the
/// layer's windows as well, as members would.
class ContentTest : public testing::Test {
 protected:
  ~ContentTest() override { stop(); }

  void start(const std::string& served, bool cluster = true) {
    stop();
    source_.emplace(served);
    source_->set_windows(windows_of(layer_));
    cache_.emplace(cache::CacheOptions{directory_.path()}, timers_, workers_, metrics_);
    fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&*source_}, fetch::FetchOptions{},
                     timers_, metrics_);
    library_.emplace(*fetcher_, *cache_, metrics_, cluster ? &claims_ : nullptr);
    reader_.emplace(*fetcher_, *library_, workers_, timers_, 10 << 20);
  }
  void stop() {
    if (fetcher_) fetcher_->stop();
    reader_.reset();
    library_.reset();
    fetcher_.reset();
    cache_.reset();
  }
  void crash() {
    stop();
    std::filesystem::remove(directory_.path() / "clean");
  }

  /// Runs `call` on another thread while the source answers.
  template <class Call>
  auto served(Call call) {
    auto future = std::async(std::launch::async, call);
    while (future.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready)
      source_->answer_all();
    return future.get();
  }
  std::shared_ptr<Content> open() {
    const auto opened = served([&] { return library_->open(ref_); });
    EXPECT_TRUE(opened) << opened.failure().message;
    return opened ? *opened : nullptr;
  }
  std::shared_ptr<Content> look() {
    return library_->open_if_claimed(ref_, std::chrono::steady_clock::now());
  }
  /// Brings all bytes in and does what then must be done, as image does.
  util::Outcome<util::Done> complete(const Content& content) {
    return served([&]() -> util::Outcome<util::Done> {
      std::promise<util::Outcome<util::Done>> done;
      const auto operation = fetcher_->bring_in(
          content.bytes, chunk::Class::pull,
          [&](util::Outcome<util::Done> outcome) { done.set_value(std::move(outcome)); });
      const auto outcome = done.get_future().get();
      if (outcome) return library_->verify(content);
      if (outcome.failure().fault == util::Fault::corrupt) return library_->settle(content);
      return outcome;
    });
  }
  util::Outcome<std::string> read(const std::shared_ptr<Content>& content, const std::string& name,
                                  util::ByteRange range) {
    const auto& files = content->index->files;
    return served([&]() -> util::Outcome<std::string> {
      std::promise<util::Outcome<std::string>> done;
      const auto operation =
          reader_->read(content, *files.find(files.root(), name), range, {},
                        [&](util::Outcome<util::SharedBytes> bytes) {
                          if (bytes)
                            done.set_value(std::string(util::as_text(bytes->view())));
                          else
                            done.set_value(bytes.failure());
                        });
      return done.get_future().get();
    });
  }
  void bring_all(const Content& content) { bring(content.bytes); }
  void bring_windows(const std::shared_ptr<Content>& content) { bring(content->windows->stored()); }
  void bring(const std::shared_ptr<fetch::Layer>& layer) {
    served([&] {
      std::promise<void> done;
      const auto operation =
          fetcher_->bring_in(layer, chunk::Class::pull, [&](const auto&) { done.set_value(); });
      done.get_future().wait();
      return true;
    });
  }
  void expect_true_bytes(const std::shared_ptr<Content>& content) {
    const auto bytes = read(content, "big", {123'456, 400'000});
    ASSERT_TRUE(bytes) << bytes.failure().message;
    EXPECT_TRUE(*bytes == kFile.substr(123'456, 400'000));
  }

  [[nodiscard]] SealedLayer claim_of(const std::string& claimant) const {
    return {tree_of(layer_), index_of(layer_).serialize(), claimant, "claim of " + claimant};
  }
  /// Opens the layer while "liar" claims that its root is that of these bytes.
  std::shared_ptr<Content> open_by_root_of(const std::string& bytes) {
    auto lie = claim_of("liar");
    lie.tree = tree_of(bytes);
    claims_.offers = {lie};
    return open();
  }
  /// The layer's, but that its files have another mode.
  [[nodiscard]] util::Bytes wrong_index() const {
    auto index = index_of(layer_);
    index.files = index_of(make_layer(04755)).files;
    return index.serialize();
  }
  double failures(const char* source) {
    return metrics_.counter("swarmfs_verification_failures_total", "", {{"source", source}})
        .value();
  }
  [[nodiscard]] std::filesystem::path tree_file() const {
    return directory_.path() / "docs" / "tree" / ref_.digest.hex();
  }
  [[nodiscard]] std::string own_claim() const {
    FakeClaims own;
    return own.sign(ref_.digest, layer_.size(), tree_of(layer_)->root(),
                    util::Sha256::of(index_of(layer_).serialize()));
  }

  const std::string layer_ = make_layer();
  const chunk::LayerRef ref_{util::Sha256::of(util::as_bytes(layer_)), layer_.size(), {}};
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  FakeClaims claims_;
  std::optional<support::FakeSource> source_;
  std::optional<cache::ChunkCache> cache_;
  std::optional<fetch::Fetcher> fetcher_;
  std::optional<LayerLibrary> library_;
  std::optional<DataReader> reader_;
};

}  // namespace swarmfs::content
