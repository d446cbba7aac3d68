// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "chunk/hash_tree.h"
#include "mirror_fixture.h"

namespace swarmfs::mirror {
namespace {

std::shared_ptr<const chunk::HashTree> tree_of(const std::string& bytes) {
  chunk::HashTreeBuilder builder;
  builder.feed(util::as_bytes(bytes));
  return std::make_shared<const chunk::HashTree>(builder.finish());
}

std::string damaged(std::string bytes, size_t at) {
  bytes[at] = static_cast<char>(~bytes[at]);
  return bytes;
}

/// Blobs of which a member says what their bytes must be.
class ClaimedTest : public MirrorTest {
 protected:
  ClaimedTest() {
    upstream_.on_claimed = [this](const chunk::LayerRef& blob) -> std::shared_ptr<const void> {
      ++looks_;
      fetched_at_look_ = source_.requests();
      if (!tree_) return nullptr;
      const std::lock_guard hold(disputing_);
      auto layer = fetcher_->open(blob);
      if (!layer->sealed() && disputes_ == 0) layer->seal(tree_, "b0b");
      return layer;
    };
    upstream_.on_dispute = [this](const chunk::LayerRef& blob) {
      const std::lock_guard hold(disputing_);
      ++disputes_;
      if (!gives_way_) return false;
      const auto layer = fetcher_->open(blob);
      if (layer->claimed()) layer->discard("is in dispute");
      return true;
    };
    upstream_.on_disprove = [this](const chunk::LayerRef& blob) {
      ++disproved_;
      fetcher_->open(blob)->discard("does not match its digest");
    };
    give_manifest();
  }
  /// What members say the blob's bytes are, from now on.
  void claim(const std::string& bytes) { tree_ = tree_of(bytes); }

  void gives_all_from(size_t at) {
    const auto got = get_blob({{"Range", fmt::format("bytes={}-", at)}});
    EXPECT_TRUE(got.whole);
    EXPECT_TRUE(got.body == blob_.substr(at));
  }

  static constexpr size_t kMiddle = 700'000;
  std::shared_ptr<const chunk::HashTree> tree_;
  bool gives_way_ = true;
  std::mutex disputing_;
  std::atomic<int> looks_{0}, disputes_{0}, disproved_{0};
  std::atomic<size_t> fetched_at_look_{0};
};

TEST_F(ClaimedTest, a_claim_is_looked_for_before_any_byte_is_asked_for) {
  claim(blob_);
  EXPECT_TRUE(get_blob().body == blob_);
  EXPECT_EQ(looks_, 1);
  EXPECT_EQ(fetched_at_look_, 0u);
  EXPECT_EQ(disputes_ + disproved_, 0);
  EXPECT_EQ(upstream_.completed, std::vector{blob_digest_});
}

TEST_F(ClaimedTest, none_is_looked_for_where_the_blob_is_here) {
  EXPECT_TRUE(get_blob().body == blob_);
  while (!layer()->is_whole()) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(get_blob().body == blob_);
  EXPECT_EQ(looks_, 1);
}

TEST_F(ClaimedTest, a_claim_that_all_contradict_is_laid_aside_and_the_client_gets_all) {
  claim(damaged(blob_, kMiddle));
  const auto got = get_blob();
  EXPECT_TRUE(got.whole);
  EXPECT_TRUE(got.body == blob_);
  EXPECT_EQ(disputes_, 1);
  EXPECT_EQ(disproved_, 0);
  EXPECT_EQ(upstream_.completed, std::vector{blob_digest_}) << "the whole of it tells who lied";
}

TEST_F(ClaimedTest, so_it_is_from_the_first_byte_on) {
  claim(damaged(blob_, 0));
  const auto got = get_blob();
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.body == blob_);
  EXPECT_EQ(disputes_, 1);
}

TEST_F(ClaimedTest, who_wants_all_the_rest_does_not_notice_either) {
  claim(damaged(blob_, kMiddle));
  gives_all_from(100'000);
  EXPECT_EQ(disputes_, 1);
}

TEST_F(ClaimedTest, of_a_range_with_an_end_nothing_goes_on_that_a_lie_may_have_begun) {
  claim(damaged(blob_, kMiddle));
  const auto range = http::Headers{{"Range", "bytes=100000-1399999"}};
  const auto got = get_blob(range);
  EXPECT_FALSE(got.whole);
  EXPECT_TRUE(got.body == blob_.substr(100'000, got.body.size()));
  EXPECT_EQ(disputes_, 1);
  EXPECT_TRUE(get_blob(range).body == blob_.substr(100'000, 1'300'000));
  EXPECT_EQ(disputes_, 1);
}

TEST_F(ClaimedTest, a_lie_before_a_range_is_laid_aside_and_the_range_goes_on) {
  claim(damaged(blob_, 1'000));
  gives_all_from(1'200'000);
  EXPECT_EQ(disputes_, 1);
}

TEST_F(ClaimedTest, a_range_that_was_part_of_a_lie_never_ends_as_whole) {
  claim(damaged(blob_, kMiddle));
  source_.flip(kMiddle);
  const auto got = get_blob({{"Range", "bytes=600000-"}}, SIZE_MAX, [this](size_t sent) {
    if (sent < 400'000 || disputes_ > 0) return;
    source_.flip(kMiddle);  // and back, when the client has it
    layer()->discard("is in dispute");
    ++disputes_;
  });
  EXPECT_FALSE(got.whole);
  EXPECT_LT(got.body.size(), blob_.size() - 600'000);
  EXPECT_EQ(disproved_, 0) << "what is here by now is right";
}

TEST_F(ClaimedTest, many_who_meet_a_lie_at_once_all_get_all) {
  claim(damaged(blob_, kMiddle));
  std::vector<std::future<Got>> clients;
  for (const char* range : {"", "bytes=100000-", "", "bytes=650000-"})
    clients.push_back(std::async(std::launch::async, [this, range] {
      return *range ? take_blob({{"Range", range}}) : take_blob();
    }));
  served([&] {
    for (auto& client : clients) client.wait();
    return true;
  });
  for (const size_t from : {0, 100'000, 0, 650'000}) {
    const auto got = clients.front().get();
    clients.erase(clients.begin());
    EXPECT_TRUE(got.whole) << from;
    EXPECT_TRUE(got.body == blob_.substr(from)) << from;
  }
}

TEST_F(ClaimedTest, where_the_registry_is_wrong_the_client_never_gets_all_of_it) {
  claim(blob_);
  source_.flip(kMiddle);
  const auto got = get_blob();
  EXPECT_FALSE(got.whole);
  EXPECT_LT(got.body.size(), blob_.size());
  EXPECT_EQ(disputes_, 1);
}

TEST_F(ClaimedTest, a_claim_that_stands_is_not_disputed_again_and_again) {
  claim(damaged(blob_, kMiddle));
  gives_way_ = false;
  const auto got = get_blob();
  EXPECT_FALSE(got.whole);
  EXPECT_TRUE(got.body == blob_.substr(0, got.body.size()));
  EXPECT_EQ(disputes_, 1);
}

TEST_F(ClaimedTest, one_source_that_does_not_answer_is_no_dispute) {
  claim(blob_);
  auto got = std::async(std::launch::async,
                        [&] { return ask("blobs/" + blob_digest_.to_string()).status; });
  while (got.wait_for(1ms) != std::future_status::ready)
    for (size_t id = 0; id < source_.requests(); ++id) source_.fail(id, {Fault::unavailable, "no"});
  EXPECT_EQ(got.get(), 503);
  EXPECT_EQ(disputes_, 0);
}

TEST_F(ClaimedTest, bytes_that_fit_a_lie_end_as_wrong_and_the_next_client_gets_the_true_ones) {
  source_.flip(kMiddle);
  claim(damaged(blob_, kMiddle));
  const auto got = get_blob();
  EXPECT_FALSE(got.whole);
  EXPECT_LT(got.body.size(), blob_.size());
  EXPECT_EQ(disproved_, 1);
  EXPECT_EQ(layer()->stored().bytes_present(), 0u);
  source_.flip(kMiddle);
  tree_ = nullptr;
  EXPECT_TRUE(get_blob().body == blob_);
}

TEST_F(ClaimedTest, so_they_do_when_the_blob_is_taken_by_ranges) {
  source_.flip(1'000);
  claim(damaged(blob_, 1'000));
  EXPECT_TRUE(get_blob({{"Range", "bytes=0-1199999"}}).whole);
  const auto rest = get_blob({{"Range", "bytes=1200000-"}});
  EXPECT_FALSE(rest.whole);
  EXPECT_LT(rest.body.size(), 300'000u);
  EXPECT_EQ(disproved_, 1);
}

TEST_F(ClaimedTest, who_reads_here_and_there_brings_no_more_in) {
  claim(blob_);
  EXPECT_TRUE(get_blob({{"Range", "bytes=-1000"}}).body == blob_.substr(blob_.size() - 1000));
  const std::string last = std::to_string(blob_.size() - 1);
  EXPECT_TRUE(get_blob({{"Range", "bytes=1400000-" + last}}).body == blob_.substr(1'400'000));
  EXPECT_TRUE(upstream_.completed.empty());
}

TEST_F(ClaimedTest, the_end_of_a_range_settles_a_claim_though_all_was_here) {
  claim(blob_);
  const auto held = layer();
  EXPECT_TRUE(get_blob({}, 1'400'000).status == 200);
  bring_in(held);
  EXPECT_TRUE(upstream_.completed.empty());
  EXPECT_TRUE(get_blob({{"Range", "bytes=1400000-"}}).whole);
  EXPECT_EQ(upstream_.completed, std::vector{blob_digest_});
}

}  // namespace
}  // namespace swarmfs::mirror
