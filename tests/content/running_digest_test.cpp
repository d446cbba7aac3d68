// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/running_digest.h"

#include "content_fixture.h"

namespace swarmfs::content {
namespace {

constexpr uint64_t kMiB = 1 << 20;

/// Of a layer of a little more than six pieces.
class RunningDigestTest : public ContentTest {
 protected:
  RunningDigestTest() {
    start(bytes_);
    content_ = std::make_shared<Content>();
    content_->bytes = fetcher_->open(bytes_ref_);
    content_->bytes->seal(tree_of(bytes_));
    content_->standing = std::make_shared<Standing>(document(), 0);
  }
  [[nodiscard]] Standing::Document document() const {
    return std::make_shared<const TreeDocument>(TreeDocument{tree_of(bytes_), {}, {}, {}});
  }
  /// Others of the same size, and a tree that they match.
  void give_wrong_bytes() {
    source_->flip(10);
    auto wrong = bytes_;
    wrong[10] = static_cast<char>(~wrong[10]);
    content_->bytes->seal(nullptr);
    content_->bytes->seal(tree_of(wrong));
  }
  /// Reads these bytes; until they are in the cache.
  void bring_in(util::ByteRange range) {
    served([&] {
      std::promise<void> done;
      chunk::FetchContext context;
      context.cls = chunk::Class::pull;  // nothing is read ahead
      const auto operation =
          fetcher_->read(content_->bytes, range, context, [&](const auto&) { done.set_value(); });
      done.get_future().wait();
      const auto blocks = chunk::blocks_covering(range);
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (!content_->bytes->stored().has(blocks) && std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return true;
    });
  }
  static unsigned advance_all(RunningDigest& digest) {
    unsigned pieces = 0;
    while (digest.advance()) ++pieces;
    return pieces;
  }
  [[nodiscard]] std::optional<util::Digest> finish(RunningDigest& digest) {
    const auto found = served([&] { return digest.finish(); });
    return found ? std::optional(*found) : std::nullopt;
  }

  const std::string bytes_ = support::noise(6 * kMiB + 777, 9);
  const chunk::LayerRef bytes_ref_{util::Sha256::of(util::as_bytes(bytes_)), bytes_.size(), {}};
  std::shared_ptr<Content> content_;
};

TEST_F(RunningDigestTest, hashes_what_is_here_and_asks_for_nothing) {
  RunningDigest digest(*fetcher_, content_);
  EXPECT_FALSE(digest.advance());
  EXPECT_EQ(source_->requests(), 0u);
  bring_in({2 * kMiB, kMiB});
  EXPECT_FALSE(digest.advance()) << "not what comes first";
  bring_in({0, 5 * kMiB});
  const auto asked = source_->requests();
  EXPECT_EQ(advance_all(digest), 2u) << "with what the stream reads ahead";
  EXPECT_EQ(source_->requests(), asked);
  bring_all(*content_);
  EXPECT_EQ(advance_all(digest), 5u) << "of seven";
  EXPECT_FALSE(digest.advance());
  EXPECT_EQ(finish(digest), bytes_ref_.digest);
  EXPECT_EQ(finish(digest), bytes_ref_.digest) << "and once more";
}

TEST_F(RunningDigestTest, has_the_rest_brought_at_the_end) {
  RunningDigest digest(*fetcher_, content_);
  EXPECT_EQ(finish(digest), bytes_ref_.digest);
}

TEST_F(RunningDigestTest, begins_anew_where_the_bytes_were_dropped) {
  give_wrong_bytes();
  bring_all(*content_);
  RunningDigest digest(*fetcher_, content_);
  EXPECT_EQ(advance_all(digest), 7u);
  content_->bytes->discard("in a test");
  EXPECT_FALSE(digest.advance());
  source_->flip(10);
  content_->bytes->seal(tree_of(bytes_));
  bring_all(*content_);
  EXPECT_EQ(finish(digest), bytes_ref_.digest);
}

TEST_F(RunningDigestTest, begins_anew_where_the_tree_is_another_one) {
  give_wrong_bytes();
  RunningDigest digest(*fetcher_, content_);
  bring_all(*content_);
  EXPECT_EQ(advance_all(digest), 7u);
  // What was hashed came under the tree that it was.
  content_->standing->set_document(document());
  EXPECT_EQ(advance_all(digest), 7u);
  content_->bytes->seal(nullptr);
  EXPECT_FALSE(digest.advance()) << "what comes may be replaced yet";
  EXPECT_NE(finish(digest), bytes_ref_.digest);
}

TEST_F(RunningDigestTest, says_why_the_rest_does_not_come) {
  source_->set_plan(std::nullopt);
  RunningDigest digest(*fetcher_, content_);
  EXPECT_FALSE(finish(digest));
  EXPECT_FALSE(digest.advance());
  source_->set_plan(chunk::Plan{bytes_.size()});
  EXPECT_EQ(finish(digest), bytes_ref_.digest);
}

}  // namespace
}  // namespace swarmfs::content
