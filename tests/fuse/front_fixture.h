// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <optional>

#include "cache/chunk_cache.h"
#include "fuse/front.h"
#include "support/tar_maker.h"
#include "support/temporary_directory.h"

namespace swarmfs::fuse {

/// One layer's bytes. Keeps silent until told to speak.
class SlowSource final : public chunk::Source {
 public:
  explicit SlowSource(std::string content) : content_(std::move(content)) {}
  /// Gives another byte there from now on.
  void flip(size_t at) {
    const auto held = held_.lock();
    content_[at] = static_cast<char>(~content_[at]);
  }
  [[nodiscard]] chunk::SourceKind kind() const override { return chunk::SourceKind::registry; }
  [[nodiscard]] std::string name() const override { return "slow"; }
  std::optional<chunk::Plan> plan(const chunk::LayerRef&, util::ByteRange range,
                                  const chunk::FetchContext&) override {
    return chunk::Plan{range.length};
  }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef&, util::ByteRange range,
                                         const chunk::FetchContext&, OnData on_data,
                                         OnDone on_done) override {
    auto gate = std::make_shared<util::CallbackGate>();
    auto held = held_.lock();
    held->emplace_back([this, gate, range, on_data, on_done] {
      gate->run([&] {
        on_data(util::as_bytes(part(range)));
        on_done(util::Done{});
      });
    });
    if (!silent_) speak(*held);
    return std::make_unique<Line>(std::move(gate));
  }

  void keep_silent(bool silent) {
    auto held = held_.lock();
    silent_ = silent;
    if (!silent) speak(*held);
  }
  /// Answers what was asked so far.
  void speak_once() { speak(*held_.lock()); }
  [[nodiscard]] size_t unanswered() const { return held_.lock()->size(); }

 private:
  using Held = std::deque<std::function<void()>>;
  struct Line final : chunk::Transfer {
    explicit Line(std::shared_ptr<util::CallbackGate> its) : gate(std::move(its)) {}
    ~Line() override { gate->close(); }
    void pause() override {}
    void resume() override {}
    [[nodiscard]] std::string supplier() const override { return "slow"; }
    const std::shared_ptr<util::CallbackGate> gate;
  };
  std::string part(util::ByteRange range) {
    const auto held = held_.lock();
    return content_.substr(range.offset, range.length);
  }
  void speak(Held& held) {
    for (auto& job : held) workers_.post(util::Workers::Urgency::normal, std::move(job));
    held.clear();
  }

  std::string content_;  ///< under held_'s lock
  bool silent_ = false;  ///< under held_'s lock
  mutable util::Sync<Held> held_;
  util::Workers workers_{2};
};

/// Every reference stands for an image of this one layer.
class OneManifest final : public image::ManifestSource {
 public:
  OneManifest(const util::Digest& layer, size_t size)
      : text_(
            R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
            R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":")" +
            util::Sha256::of(util::as_bytes("{}")).to_string() +
            R"("},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" +
            layer.to_string() + R"(","size":)" + std::to_string(size) + "}]}") {}
  util::Outcome<image::Resolved> resolve(const oci::Reference&, const oci::Platform&) override {
    const auto bytes = util::as_bytes(text_);
    return image::Resolved{util::Sha256::of(bytes), {bytes.begin(), bytes.end()}};
  }

 private:
  const std::string text_;
};

/// An image of one layer with one file, "data", whose index is known and whose bytes are all to be
/// fetched.
class FrontTest : public testing::Test {
 protected:
  static constexpr size_t kPage = 4096;
  static constexpr size_t kBlock = 16 * 1024;

  void SetUp() override { begin(/*sealed=*/true); }
  void begin(bool sealed) {
    if (::geteuid() != 0 || !std::filesystem::exists("/dev/fuse"))
      GTEST_SKIP() << "needs root and /dev/fuse";
    start();
    const auto job = images_->mount(kImage, {"/nowhere", false, ""}, oci::Platform::host());
    ASSERT_EQ(job->wait(std::chrono::seconds(60)).state, image::Job::State::done);
    stop();
    std::filesystem::remove_all(directory_.path() / "cache" / "layers");
    // Without the hash tree nothing is checked before all of it is there.
    if (!sealed) std::filesystem::remove_all(directory_.path() / "cache" / "docs" / "tree");
    start();
    source_.keep_silent(true);
    images_->restore({});
    ASSERT_EQ(images_->images().size(), 1u);
  }
  void TearDown() override { stop(); }

  void start() {
    cache_.emplace(cache::CacheOptions{directory_.path() / "cache", 1 << 30}, timers_, workers_,
                   metrics_);
    fetch::FetchOptions options;
    options.fault_timeout = kForever;
    fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&source_}, options, timers_, metrics_);
    contents_.emplace(*fetcher_, *cache_, metrics_);
    reader_.emplace(*fetcher_, *contents_, workers_, timers_, 1 << 20);
    images_.emplace(*contents_, *fetcher_, *cache_, manifests_, timers_,
                    image::ImageLibrary::Options{/*backfill=*/false});
  }
  void stop() {
    source_.keep_silent(false);
    if (images_) images_->stop();
    if (fetcher_) fetcher_->stop();
    front_.reset();
    images_.reset();
    reader_.reset();
    contents_.reset();
    fetcher_.reset();
    cache_.reset();
  }
  void mount() {
    front_.emplace(FrontOptions{directory_.path() / "tree", 2, kForever}, *images_, *reader_,
                   *fetcher_, *cache_, timers_, metrics_);
  }
  [[nodiscard]] std::filesystem::path data_file() const {
    return directory_.path() / "tree" / "layers" / digest_.hex() / "diff" / "data";
  }

  static constexpr std::chrono::hours kForever{1};
  const oci::Reference kImage = *oci::Reference::parse("r.test/app:latest");
  const std::string data_ = support::noise(256 * kBlock, 7);
  const std::string layer_ = support::TarMaker().file("data", data_).finish();
  const util::Digest digest_ = util::Sha256::of(util::as_bytes(layer_));
  support::TemporaryDirectory directory_;
  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_{2};
  SlowSource source_{layer_};
  OneManifest manifests_{digest_, layer_.size()};
  std::optional<cache::ChunkCache> cache_;
  std::optional<fetch::Fetcher> fetcher_;
  std::optional<content::LayerLibrary> contents_;
  std::optional<content::DataReader> reader_;
  std::optional<image::ImageLibrary> images_;
  std::optional<Front> front_;
};

}  // namespace swarmfs::fuse
