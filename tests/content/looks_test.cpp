// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <thread>

#include "content_fixture.h"

namespace swarmfs::content {
namespace {

using util::Fault;
using namespace std::chrono_literals;

/// Looks for a claim by who does not wait for one: clients of the mirror.
class LooksTest : public ContentTest {
 protected:
  std::shared_ptr<fetch::Layer> layer() { return fetcher_->open(ref_); }
  std::string read_layer(util::ByteRange range) {
    return served([&] {
      std::promise<std::string> done;
      const auto operation = fetcher_->read(
          layer(), range, {chunk::Class::pull, util::SteadyTime::max(), "test"},
          [&](const util::Outcome<util::SharedBytes>& bytes) {
            done.set_value(bytes ? std::string(util::as_text(bytes->view())) : std::string());
          });
      return done.get_future().get();
    });
  }
};

TEST_F(LooksTest, a_claim_seals_the_layer_before_any_byte_has_come) {
  claims_.offers.push_back(claim_of("a"));
  start(layer_);
  const auto content = look();
  ASSERT_TRUE(content);
  EXPECT_EQ(source_->requests(), 0u);
  EXPECT_TRUE(layer()->sealed() && layer()->claimed());
  EXPECT_EQ(look(), content);
  EXPECT_EQ(open(), content) << "a mount finds it as well";
  EXPECT_EQ(claims_.looks, 1);
  EXPECT_TRUE(complete(*content));
  EXPECT_FALSE(layer()->claimed());
  EXPECT_EQ(library_->published(ref_.digest)->claim, own_claim());
}

TEST_F(LooksTest, of_a_layer_that_is_whole_nobody_is_asked) {
  start(layer_);
  bring(layer());
  EXPECT_FALSE(look());
  EXPECT_EQ(claims_.looks, 0);
}

TEST_F(LooksTest, what_came_before_the_claim_is_checked_when_it_is_read) {
  start(layer_);
  source_->flip(100'000);
  EXPECT_FALSE(read_layer({0, 200'000}) == layer_.substr(0, 200'000));
  while (layer()->stored().bytes_present() < 200'000) std::this_thread::sleep_for(1ms);
  source_->flip(100'000);  // and back
  claims_.offers.push_back(claim_of("a"));
  const auto content = look();
  ASSERT_TRUE(content);
  EXPECT_TRUE(read_layer({0, 200'000}) == layer_.substr(0, 200'000));
}

TEST_F(LooksTest,
       a_look_that_was_in_vain_is_not_repeated_for_a_while_and_keeps_nobody_from_opening) {
  start(layer_);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(look());
  EXPECT_EQ(claims_.looks, 1);
  EXPECT_FALSE(layer()->sealed());
  const auto content = open();
  ASSERT_TRUE(content);
  EXPECT_FALSE(content->standing->claimed());
  EXPECT_EQ(look(), content);
}

TEST_F(LooksTest, without_a_cluster_there_is_nobody_to_look_for) {
  start(layer_, false);
  EXPECT_FALSE(look());
  EXPECT_EQ(claims_.looks, 0);
}

TEST_F(LooksTest, a_claim_that_comes_when_the_layer_is_whole_by_now_tells_nothing_any_more) {
  start(layer_);
  auto lie = claim_of("a");
  lie.tree = tree_of(damaged(layer_));
  claims_.offers.push_back(lie);
  claims_.while_looking = [this] { bring(layer()); };
  EXPECT_FALSE(look());
  EXPECT_EQ(claims_.looks, 1);
  EXPECT_FALSE(layer()->sealed());
  const auto content = open();
  ASSERT_TRUE(content);
  EXPECT_FALSE(content->standing->claimed());
  EXPECT_EQ(layer()->tree()->root(), tree_of(layer_)->root());
  expect_true_bytes(content);
}

TEST_F(LooksTest, many_who_look_at_once_share_one_look) {
  start(layer_);
  claims_.offers.push_back(claim_of("a"));
  claims_.while_looking = [] { std::this_thread::sleep_for(100ms); };
  std::vector<std::future<std::shared_ptr<Content>>> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(std::async(std::launch::async, [this] { return look(); }));
  std::set<std::shared_ptr<Content>> found;
  for (auto& one : all) found.insert(one.get());
  EXPECT_EQ(found.size(), 1u);
  EXPECT_TRUE(*found.begin());
  EXPECT_EQ(claims_.looks, 1);
}

TEST_F(LooksTest, who_opens_a_layer_during_a_look_gets_what_it_found_or_looks_itself) {
  for (const bool claimed : {true, false}) {
    start(layer_);
    std::promise<void> looking;
    std::promise<void> go_on;
    if (claimed) claims_.offers.push_back(claim_of("a"));
    claims_.while_looking = [&] {
      looking.set_value();
      go_on.get_future().wait();
    };
    auto looked = std::async(std::launch::async, [this] { return look(); });
    looking.get_future().wait();
    const auto opened = served([&] {
      auto opening = std::async(std::launch::async, [this] { return library_->open(ref_); });
      EXPECT_EQ(opening.wait_for(20ms), std::future_status::timeout);
      go_on.set_value();
      return opening.get();
    });
    claims_.while_looking = nullptr;
    ASSERT_TRUE(opened && *opened);
    EXPECT_EQ((*opened)->standing->claimed(), claimed);
    EXPECT_EQ(looked.get() != nullptr, claimed);
    stop();
    std::filesystem::remove_all(directory_.path() / "docs");
    std::filesystem::remove_all(directory_.path() / "layers");
  }
}

TEST_F(LooksTest, who_looks_does_not_wait_for_somebody_who_streams_the_layer) {
  start(layer_);
  auto opening = std::async(std::launch::async, [this] { return library_->open(ref_); });
  while (source_->requests() == 0) std::this_thread::sleep_for(1ms);
  claims_.offers.push_back(claim_of("a"));
  EXPECT_FALSE(look());
  EXPECT_EQ(claims_.looks, 0);
  while (opening.wait_for(1ms) != std::future_status::ready) source_->answer_all();
  const auto content = opening.get();
  ASSERT_TRUE(content);
  EXPECT_EQ(look(), *content);
}

TEST_F(LooksTest, a_claim_of_another_size_is_blamed) {
  start(layer_);
  auto lie = claim_of("a");
  lie.tree = tree_of(layer_ + "x");
  claims_.offers.push_back(lie);
  EXPECT_FALSE(look());
  EXPECT_EQ(claims_.blamed, std::vector<std::string>{"a"});
  EXPECT_FALSE(layer()->sealed());
}

TEST_F(LooksTest, a_look_that_fails_is_a_look_in_vain) {
  start(layer_);
  claims_.while_looking = [] { throw util::Error("the disk is full"); };
  EXPECT_FALSE(look());
  claims_.while_looking = nullptr;
  EXPECT_TRUE(open());
}

TEST(VainLooks, are_bounded_and_remembered) {
  const auto layer = [](unsigned number) {
    return util::Sha256::of(util::as_bytes(std::to_string(number)));
  };
  const util::SteadyTime now{1h};
  VainLooks looks;
  for (unsigned i = 0; i < VainLooks::kMost; ++i) EXPECT_TRUE(looks.begin(layer(i), now));
  EXPECT_FALSE(looks.begin(layer(99), now));
  looks.end(layer(0), true, now);
  looks.end(layer(1), false, now);
  EXPECT_FALSE(looks.begin(layer(0), now + VainLooks::kMemory - 1ms));
  EXPECT_TRUE(looks.begin(layer(1), now));
  EXPECT_TRUE(looks.begin(layer(0), now + VainLooks::kMemory));
}

}  // namespace
}  // namespace swarmfs::content
