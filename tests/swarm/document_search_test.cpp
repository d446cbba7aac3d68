// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/document_search.h"

#include <thread>

#include "swarm/demand_fixture.h"
#include "swarm/fake_holdings.h"

namespace swarmfs::swarm {
namespace {

using namespace std::chrono_literals;

/// Claims for somebody who is in haste.
class DocumentSearchTest : public DemandTest {
 protected:
  using Milliseconds = std::chrono::duration<double, std::milli>;

  DocumentSearchTest() { views_.interest(layer_, clock_.now()); }
  ~DocumentSearchTest() override { rounds_.reset(); }

  void start(const std::vector<Endpoint>& peers = {}) {
    rounds_ =
        std::make_unique<NewsRounds>(client_, table_, views_, registries_, holdings_, timers_);
    search_ = std::make_unique<DocumentSearch>(
        DocumentSearch::Parts{client_, table_, views_, *rounds_}, "here",
        [](const cluster::Claim&) { return util::Outcome<std::string>("a"); });
    rounds_->set_known(peers);
  }
  static std::shared_ptr<const chunk::HashTree> tree() {
    chunk::HashTreeBuilder builder;
    builder.feed(util::as_bytes(content()));
    return std::make_shared<const chunk::HashTree>(builder.finish());
  }
  [[nodiscard]] std::string claim() const {
    return cluster::Claim{
        layer_.digest, kSize,      tree()->root(), util::Sha256::of(util::as_bytes("index")), {},
        "cert",        "signature"}
        .to_json();
  }
  /// A member that has the layer, and has hashed it or not. When it is asked for `silent` it says
  /// nothing.
  Peer& member(bool sealed, const std::string& silent = "none") {
    return peer("a", [this, sealed, silent](const Peer::Asked& asked) {
      const auto is = [&](const std::string& name) {
        return asked.target.find("/" + name + "?") != std::string::npos;
      };
      if (is(silent)) return says("", Then::wait);
      if (is("layers"))
        return Peer::answer(200, News{"there", {{layer_.digest, news(true, sealed)}}}.to_json());
      if (is("claim")) return Peer::answer(200, claim());
      if (is("index")) return Peer::answer(200, "index");
      return Peer::answer(200, std::string(util::as_text(tree()->leaf_bytes())));
    });
  }
  struct Looked {
    std::optional<ClaimedLayer> found;
    Milliseconds took{};
  };
  Looked look(std::chrono::milliseconds patience = 10s) {
    const auto begun = clock_.now();
    auto found = search_->find_claim_soon(layer_, begun + patience);
    return {std::move(found), clock_.now() - begun};
  }
  /// What takes no time may take some on a busy machine: once of many it does not.
  Milliseconds shortest_look() {
    Milliseconds shortest = 1h;
    for (int i = 0; i < 20; ++i) shortest = std::min(shortest, look().took);
    return shortest;
  }
  static size_t asked_for(const Peer& peer, const std::string& name) {
    const auto asked = peer.asked();
    return static_cast<size_t>(std::count_if(asked.begin(), asked.end(), [&](const auto& one) {
      return one.target.find("/" + name + "?") != std::string::npos;
    }));
  }
  void expect_claim(const Looked& looked) {
    ASSERT_TRUE(looked.found);
    EXPECT_EQ(looked.found->claimant, "a");
    EXPECT_EQ(looked.found->tree->root(), tree()->root());
    EXPECT_EQ(util::as_text(looked.found->index), "index");
  }

  RegistryViews registries_;
  FakeHoldings holdings_;
  std::unique_ptr<NewsRounds> rounds_;
  std::unique_ptr<DocumentSearch> search_;
};

TEST_F(DocumentSearchTest, takes_the_claim_of_a_member_that_was_not_heard_before) {
  start({at(member(true))});
  expect_claim(look());
}

TEST_F(DocumentSearchTest, where_nobody_is_known_nothing_is_waited_for) {
  start();
  EXPECT_LT(shortest_look(), 5ms);
  EXPECT_FALSE(look().found);
}

TEST_F(DocumentSearchTest, where_all_have_spoken_and_none_has_it_nothing_is_waited_for) {
  Peer& other = member(false);
  start({at(other)});
  EXPECT_FALSE(look().found);
  EXPECT_LT(shortest_look(), 5ms);
  EXPECT_EQ(asked_for(other, "claim"), 0u);
}

TEST_F(DocumentSearchTest, silence_is_waited_for_once) {
  start({at(member(true, "layers"))});
  const auto first = look();
  EXPECT_FALSE(first.found);
  EXPECT_GE(first.took, DocumentSearch::kHastyNews);
  EXPECT_LT(first.took, 2s);
  EXPECT_LT(shortest_look(), 5ms);
}

class SilentTest : public DocumentSearchTest, public testing::WithParamInterface<const char*> {};

TEST_P(SilentTest, what_does_not_come_ends_in_time_and_is_not_held_against_who_has_it) {
  Peer& holder = member(true, GetParam());
  start({at(holder)});
  while (views_.heard_from(layer_.digest).empty()) rounds_->wait_for_news(clock_.now() + 10ms);
  const auto slow = look(100ms);
  EXPECT_FALSE(slow.found);
  EXPECT_LT(slow.took, 2s);
  EXPECT_EQ(table_.find(at(holder))->failures, 0u);
  EXPECT_LT(shortest_look(), 5ms) << "nor is it asked again at once";
  EXPECT_EQ(asked_for(holder, "claim"), 1u);
}

INSTANTIATE_TEST_SUITE_P(Documents, SilentTest, testing::Values("claim", "index", "tree"));

TEST_F(DocumentSearchTest, who_waits_for_a_claim_stops_when_told_so_and_nobody_waits_after_it) {
  Peer& holder = member(true, "claim");
  start({at(holder)});
  auto looking = std::async(std::launch::async, [&] { return search_->find_claim(layer_); });
  EXPECT_TRUE(holder.wait_for_requests(2));
  const auto told = clock_.now();
  client_.stop_waiting();
  EXPECT_FALSE(looking.get());
  EXPECT_LT(clock_.now() - told, 5s) << "the claim would have been waited for longer";
  EXPECT_LT(shortest_look(), 5ms);
}

TEST_F(DocumentSearchTest, nor_are_news_waited_for_any_more) {
  start({at(member(true, "layers"))});
  rounds_->stop_waiting();
  EXPECT_FALSE(look().found);
  EXPECT_LT(shortest_look(), 5ms);
  EXPECT_FALSE(search_->find_claim(layer_));
}

}  // namespace
}  // namespace swarmfs::swarm
