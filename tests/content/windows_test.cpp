// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fstream>
#include <thread>

#include "content/window_keeping.h"
#include "content_fixture.h"
#include "util/file.h"

namespace swarmfs::content {
namespace {

using util::ByteRange;
using util::Fault;

/// Claims, and members that have windows or not.
class WindowsTest : public ContentTest {
 protected:
  [[nodiscard]] std::filesystem::path file(const std::string& suffix) const {
    return directory_.path() / "layers" / (name().hex() + ".windows" + suffix);
  }
  [[nodiscard]] util::Digest name() const { return windows_name(*windows_tree(index_of(layer_))); }
  /// Bytes of windows that were asked for.
  [[nodiscard]] uint64_t asked_windows() const {
    uint64_t bytes = 0;
    const auto layers = source_->asked_of();
    for (size_t i = 0; i < layers.size(); ++i)
      if (layers[i].form == chunk::Form::windows) bytes += source_->asked(i).length;
    return bytes;
  }
  [[nodiscard]] util::Outcome<std::string> windows(const util::Digest& name, ByteRange range) {
    std::promise<util::Outcome<std::string>> done;
    library_->read_windows(ref_.digest, name, range, [&](util::Outcome<util::SharedBytes> bytes) {
      if (bytes)
        done.set_value(std::string(util::as_text(bytes->view())));
      else
        done.set_value(bytes.failure());
    });
    return done.get_future().get();
  }
  /// What a claimant binds and claims instead of the truth.
  SealedLayer lie_about(const layer::LayerIndex& index) {
    auto lie = claim_of("liar");
    lie.index = index.serialize();
    return lie;
  }
  const std::string windows_ = windows_of(layer_);
};

TEST_F(WindowsTest, one_is_fetched_where_one_is_needed) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  EXPECT_EQ(source_->requests(), 0u) << "the index says where they are, and that is all";
  const auto bytes = read(content, "big", {500'000, 1000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_EQ(*bytes, kFile.substr(500'000, 1000));
  EXPECT_GT(asked_windows(), 0u);
  EXPECT_LT(asked_windows(), windows_.size()) << "not all of them";
}

TEST_F(WindowsTest, what_stands_before_a_span_in_memory_is_its_window) {
  support::TarMaker tar;
  tar.file("big", kFile);
  const std::string layer = support::gzip(tar.finish());
  const auto index = index_of(layer);
  const auto extent = index.files.inode(*index.files.find(index.files.root(), "big")).extents.at(0);
  start(layer);
  claims_.offers = {{tree_of(layer), index.serialize(), "b0b", "claim"}};
  const chunk::LayerRef ref{util::Sha256::of(util::as_bytes(layer)), layer.size(), {}};
  const auto content = library_->open(ref).value();
  size_t spans = 0;
  for (size_t i = 0; i < index.span_count(); ++i) {
    const auto part = overlap(index.span(i).space, {extent.space_offset, extent.length});
    if (part.empty()) break;
    const ByteRange range{part.offset - extent.space_offset, 1};
    const auto bytes = read(content, "big", range);
    ASSERT_TRUE(bytes) << bytes.failure().message;
    EXPECT_EQ(*bytes, kFile.substr(range.offset, 1));
    ++spans;
  }
  EXPECT_GT(spans, 2u);
  EXPECT_TRUE(content->standing->claimed()) << "nobody had to hash the layer";
  EXPECT_EQ(asked_windows(), 0u);
}

TEST_F(WindowsTest, who_can_get_none_makes_them) {
  start(layer_);
  source_->set_windows("");
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  const auto bytes = read(content, "big", {500'000, 1000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_EQ(*bytes, kFile.substr(500'000, 1000));
  EXPECT_FALSE(content->standing->claimed()) << "the layer was hashed for it";
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
  EXPECT_TRUE(claims_.blamed.empty()) << claims_.reasons;
  expect_true_bytes(content);
}

TEST_F(WindowsTest, who_has_one_may_be_known_after_a_moment) {
  start(layer_);
  source_->set_windows("");
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  std::jthread news([&] {
    while (source_->planned_for().size() < 2) std::this_thread::yield();
    source_->set_windows(windows_);
  });
  const auto bytes = read(content, "big", {500'000, 1000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_EQ(*bytes, kFile.substr(500'000, 1000));
  EXPECT_TRUE(content->standing->claimed()) << "nobody had to hash the layer";
}

TEST_F(WindowsTest, they_are_here_when_a_claim_has_held) {
  start(layer_);
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  ASSERT_TRUE(complete(*content));
  EXPECT_EQ(asked_windows(), 0u) << "made of the layer's own bytes";
  start("");
  source_->set_windows("");
  EXPECT_TRUE(library_->may_publish(ref_.digest)) << "before anybody opened it";
  const auto again = library_->open_known(ref_);
  ASSERT_TRUE(again);
  expect_true_bytes(again);
  EXPECT_EQ(source_->requests(), 0u);
}

TEST_F(WindowsTest, are_given_to_others_by_their_name) {
  start(layer_);
  open();
  for (int run = 0; run < 2; ++run) {
    const auto bytes = windows(name(), {5, 20'000});
    ASSERT_TRUE(bytes) << bytes.failure().message;
    EXPECT_EQ(*bytes, windows_.substr(5, 20'000));
    EXPECT_EQ(windows(ref_.digest, {5, 10}).failure().fault, Fault::not_found);
    EXPECT_EQ(windows(name(), {windows_.size() - 5, 6}).failure().fault, Fault::invalid);
    start("");  // and again, by who has not opened the layer
  }
}

TEST_F(WindowsTest, that_the_disk_lost_are_not_given_to_others) {
  start(layer_);
  open();
  crash();
  std::fstream(file(".bytes"), std::ios::in | std::ios::out | std::ios::binary).seekp(7).put('!');
  start("");
  EXPECT_EQ(windows(name(), {0, 100}).failure().fault, Fault::not_found);
  EXPECT_FALSE(library_->may_publish(ref_.digest));
  EXPECT_EQ(failures("cache"), 1);
}

TEST_F(WindowsTest, that_the_disk_lost_are_made_again) {
  start(layer_);
  open();
  stop();
  for (const auto at : {0, 20'000, 40'000})
    std::fstream(file(".bytes"), std::ios::in | std::ios::out | std::ios::binary)
        .seekp(at)
        .write(std::string(5000, '!').data(), 5000);
  start("");
  source_->set_windows("");
  const auto content = library_->open_known(ref_);
  const auto bytes = read(content, "big", {0, 900'000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == kFile);
  EXPECT_EQ(source_->requests(), 0u);
  EXPECT_TRUE(claims_.blamed.empty());
  EXPECT_TRUE(windows(name(), {0, windows_.size()}));
}

TEST_F(WindowsTest, are_the_last_that_the_cache_lets_go) {
  start(layer_);
  const auto content = open();
  EXPECT_GT(cache_->evict_all(), 0u);
  EXPECT_EQ(content->bytes->stored().bytes_present(), 0u);
  EXPECT_TRUE(library_->may_publish(ref_.digest));
  const size_t before = source_->requests();
  ASSERT_TRUE(read(content, "big", {500'000, 10}));
  EXPECT_EQ(asked_windows(), 0u);
  EXPECT_GT(source_->requests(), before);
}

TEST_F(WindowsTest, of_layers_out_of_use_go_with_the_rest) {
  start(layer_);
  open();
  const auto kept = cache_->open(name(), windows_.size(), chunk::Form::windows);
  ASSERT_EQ(kept->bytes_present(), windows_.size());
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (kept.use_count() > 2 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();  // the cache looks at them now and then
  EXPECT_EQ(kept.use_count(), 2) << "nobody but us and the cache has them open";
}

TEST_F(WindowsTest, of_a_lying_size_do_not_meet_the_true_ones) {
  start(layer_);
  const auto content = open();
  const auto truth = windows_tree(index_of(layer_));
  const std::vector<util::Digest> leaves(index_of(layer_).windows);
  const auto lie = std::make_shared<const chunk::HashTree>(truth->size() - 1, leaves);
  ASSERT_EQ(lie->root(), truth->root());
  WindowKeeping keeping(*cache_);
  keeping.note(util::Sha256::of(util::as_bytes("another layer")), lie);
  EXPECT_TRUE(windows(name(), {0, windows_.size()}));
  start("");
  source_->set_windows("");
  expect_true_bytes(library_->open_known(ref_));
}

TEST_F(WindowsTest, that_a_member_gives_wrong_are_its_blame_and_not_the_claimants) {
  start(layer_);
  source_->set_windows(damaged(damaged(windows_, 100), windows_.size() / 2));
  claims_.offers = {claim_of("b0b")};
  const auto content = open();
  const auto bytes = read(content, "big", {0, 900'000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == kFile);
  EXPECT_FALSE(source_->blamed().empty());
  EXPECT_TRUE(claims_.blamed.empty()) << claims_.reasons;
}

TEST_F(WindowsTest, that_fit_their_tree_and_not_their_index_are_the_claimants_lie) {
  start(layer_);
  auto made = indexed(layer_);
  auto& at = made.index.checkpoints.at(1).window;
  const std::string nonsense = support::noise(at.length, 77);
  std::string lie = windows_;
  lie.replace(at.offset, at.length, nonsense);
  for (size_t i = 0; i < made.index.windows.size(); ++i)
    made.index.windows[i] = util::Sha256::of(
        util::as_bytes(std::string_view(lie).substr(i * chunk::kBlockSize, chunk::kBlockSize)));
  source_->set_windows(lie);
  claims_.offers = {lie_about(made.index)};
  const auto content = open();
  const auto bytes = read(content, "big", {0, 900'000});
  ASSERT_TRUE(bytes) << bytes.failure().message;
  EXPECT_TRUE(*bytes == kFile);
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"liar"}) << claims_.reasons;
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
  EXPECT_EQ(library_->published(ref_.digest)->index, index_of(layer_).serialize());
  start("");
  source_->set_windows("");
  expect_true_bytes(library_->open_known(ref_));
}

TEST_F(WindowsTest, that_are_packed_otherwise_make_no_lie_of_a_claim) {
  start(layer_);
  auto made = indexed(layer_);
  std::string other;
  for (auto& point : made.index.checkpoints) {
    if (point.window.empty()) continue;
    const auto plain = *layer::unpack_window(
        util::ByteView(made.windows).subspan(point.window.offset, point.window.length));
    std::string packed(ZSTD_compressBound(plain.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 15));
    point.window = {other.size(), packed.size()};
    other += packed;
  }
  ASSERT_NE(other, windows_);
  made.index.windows.clear();
  for (size_t at = 0; at < other.size(); at += chunk::kBlockSize)
    made.index.windows.push_back(
        util::Sha256::of(util::as_bytes(std::string_view(other).substr(at, chunk::kBlockSize))));
  source_->set_windows(other);
  claims_.offers = {lie_about(made.index)};
  const auto content = open();
  expect_true_bytes(content);
  EXPECT_TRUE(content->standing->claimed());
  ASSERT_TRUE(complete(*content));
  EXPECT_TRUE(claims_.blamed.empty()) << claims_.reasons;
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
  source_->set_windows("");
  expect_true_bytes(content);
}

TEST_F(WindowsTest, an_index_of_the_version_before_is_made_again) {
  start(layer_);
  open();
  auto old = index_of(layer_).serialize();
  old[7] = std::byte{'2'};
  cache_->save_document("index/" + ref_.digest.hex(), old);
  start("");
  EXPECT_FALSE(library_->open_known(ref_));
  EXPECT_FALSE(library_->published(ref_.digest)) << "others could not read it";
  const auto content = open();
  ASSERT_TRUE(content);
  EXPECT_EQ(source_->requests(), 0u) << "its bytes are here";
  expect_true_bytes(content);
  EXPECT_EQ(library_->published(ref_.digest)->index, index_of(layer_).serialize());
}

TEST_F(WindowsTest, stay_in_memory_where_the_cache_has_no_room) {
  const uint64_t quota = layer_.size() + chunk::kBlockSize;
  stop();
  source_.emplace(layer_);
  cache_.emplace(cache::CacheOptions{directory_.path(), quota, 1, 1}, timers_, workers_, metrics_);
  fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&*source_}, fetch::FetchOptions{}, timers_,
                   metrics_);
  library_.emplace(*fetcher_, *cache_, metrics_, &claims_);
  reader_.emplace(*fetcher_, *library_, workers_, timers_, 10 << 20);
  const auto content = open();
  EXPECT_TRUE(content->windows->taken());
  EXPECT_FALSE(library_->may_publish(ref_.digest));
  const size_t before = source_->requests();
  expect_true_bytes(content);
  EXPECT_EQ(source_->requests(), before);
}

}  // namespace
}  // namespace swarmfs::content
