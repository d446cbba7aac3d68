// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/shareholders.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "swarm/layer_views.h"
#include "swarm/policy.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::seconds;

const auto kCrowdLayer = util::Sha256::of(util::as_bytes("layer"));

std::vector<uint64_t> weights_of(size_t nodes) {
  std::vector<uint64_t> made;
  for (size_t i = 0; i < nodes; ++i)
    made.push_back(shareholder_weight(kCrowdLayer, "node " + std::to_string(i)));
  return made;
}

std::set<size_t> as_set(const std::vector<size_t>& indices) {
  return {indices.begin(), indices.end()};
}

TEST(Shareholders, are_the_heaviest_and_known_by_id) {
  const std::vector<uint64_t> weights{5, 0, 9, 7};
  EXPECT_EQ(shareholders(weights, 2), (std::vector<size_t>{2, 3}));
  EXPECT_EQ(shareholders(weights, 9), (std::vector<size_t>{2, 3, 0}));
  EXPECT_TRUE(shareholders({}, 9).empty());
  EXPECT_EQ(shareholder_weight(kCrowdLayer, ""), 0u);
  EXPECT_EQ(shareholders(weights_of(1000)).size(), kMostShareholders);
}

TEST(Shareholders, change_by_one_where_one_joins_or_leaves) {
  auto weights = weights_of(1000);
  const auto before = as_set(shareholders(weights));
  weights.push_back(shareholder_weight(kCrowdLayer, "newcomer"));
  size_t moved = 0;
  for (const size_t i : shareholders(weights)) moved += !before.contains(i);
  EXPECT_LE(moved, 1u);
  weights.pop_back();
  weights[*before.begin()] = 0;
  moved = 0;
  for (const size_t i : shareholders(weights)) moved += !before.contains(i);
  EXPECT_EQ(moved, 1u);
}

TEST(Shareholders, are_others_for_another_layer) {
  const auto other = util::Sha256::of(util::as_bytes("another"));
  std::vector<uint64_t> weights;
  for (size_t i = 0; i < 1000; ++i)
    weights.push_back(shareholder_weight(other, "node " + std::to_string(i)));
  const auto here = as_set(shareholders(weights_of(1000)));
  size_t both = 0;
  for (const size_t i : shareholders(weights)) both += here.contains(i);
  EXPECT_LT(both, 20u) << "4 are expected";
}

TEST(Shareholders, alone_own_shares) {
  std::vector<Candidate> crowd(200);
  for (size_t i = 0; i < crowd.size(); ++i) {
    crowd[i].endpoint = {"10.0.0." + std::to_string(i), 1};
    crowd[i].node_id = "node " + std::to_string(i);
  }
  const auto allowed = as_set(shareholders(weights_of(200)));
  std::set<size_t> owning;
  for (uint64_t chunk = 0; chunk < 2000; ++chunk) {
    Question question;
    question.layer = kCrowdLayer;
    question.chunk = chunk;
    question.cls = chunk::Class::pull;
    question.self = "node 999";
    question.peers = crowd;
    for (const Step& step : steps(question))
      if (step.peer) owning.insert(*step.peer);
  }
  for (const size_t owner : owning) EXPECT_TRUE(allowed.contains(owner)) << owner;
  EXPECT_GE(owning.size(), kMostShareholders - 2) << "all of them have their part";
}

TEST(WhomToAsk, is_everybody_of_a_few) {
  const std::vector<NewsPeer> few(kMostAsked);
  EXPECT_EQ(whom_to_ask(few, 7).size(), kMostAsked);
}

std::vector<NewsPeer> crowd_of(size_t nodes) {
  std::vector<NewsPeer> made;
  for (const uint64_t weight : weights_of(nodes)) made.push_back({weight, false});
  return made;
}

TEST(WhomToAsk, gives_a_quarter_to_shareholders_and_comes_round_to_everybody) {
  const auto crowd = crowd_of(500);
  const auto owners = as_set(shareholders(weights_of(500)));
  std::set<size_t> asked;
  for (uint64_t turn = 1000; turn < 1000 + 22; ++turn) {
    const auto whom = whom_to_ask(crowd, turn);
    ASSERT_EQ(as_set(whom).size(), kMostAsked) << "nobody twice";
    size_t of_owners = 0;
    for (const size_t i : whom) of_owners += owners.contains(i);
    EXPECT_EQ(of_owners, kMostAsked / 4);
    asked.merge(as_set(whom));
  }
  EXPECT_EQ(asked.size(), 500u);
}

TEST(WhomToAsk, fills_its_seats_where_all_but_a_few_are_shareholders) {
  EXPECT_EQ(as_set(whom_to_ask(crowd_of(66), 5)).size(), kMostAsked);
  EXPECT_EQ(as_set(whom_to_ask(crowd_of(40), 5)).size(), kMostAsked);
  EXPECT_EQ(as_set(whom_to_ask(std::vector<NewsPeer>(40), 5)).size(), kMostAsked);
}

TEST(WhomToAsk, hurries_to_those_that_are_named_the_heaviest_first) {
  auto crowd = crowd_of(500);
  for (size_t i = 0; i < 30; ++i) crowd.push_back({1000 + i, true});
  const auto whom = as_set(whom_to_ask(crowd, 3));
  EXPECT_EQ(whom.size(), kMostAsked);
  for (size_t i = 0; i < 30; ++i) EXPECT_EQ(whom.contains(500 + i), i >= 14) << i;
}

TEST(HasToName, each_of_a_crowd_in_turn_but_all_while_a_layer_begins) {
  std::vector<size_t> named(kMostAsked);
  for (uint64_t turn = 100; turn < 104; ++turn)
    for (size_t place = 0; place < kMostAsked; ++place) {
      named[place] += has_to_name(place, kMostAsked, turn, false);
      EXPECT_TRUE(has_to_name(place, kMostAsked, turn, true));
      EXPECT_TRUE(has_to_name(place, kMostAsked - 1, turn, false)) << "few";
    }
  EXPECT_EQ(named, std::vector<size_t>(kMostAsked, 1));
}

TEST(HasToName, each_owner_in_about_one_of_four_rounds_that_ask_it) {
  const auto crowd = crowd_of(1000);
  const auto owners = shareholders(weights_of(1000));
  for (const uint64_t layers : {1, 2, 3, 4}) {
    std::map<size_t, unsigned> asked, named;
    for (uint64_t turn = 77; turn < 77 + 256 * layers; ++turn) {
      const auto whom = whom_to_ask(crowd, turn / layers);
      for (size_t place = 0; place < whom.size(); ++place) {
        ++asked[whom[place]];
        named[whom[place]] += has_to_name(place, whom.size(), turn, false);
      }
    }
    for (const size_t owner : owners) {
      EXPECT_GE(named[owner] * 8, asked[owner]) << layers << " layers";
      EXPECT_LE(named[owner] * 2, asked[owner]) << layers << " layers";
    }
  }
}

TEST(Outweighs, who_would_be_among_the_heaviest) {
  std::vector<uint64_t> weights(kMostShareholders, 10);
  EXPECT_TRUE(outweighs(weights, 11));
  EXPECT_FALSE(outweighs(weights, 10));
  weights.pop_back();
  EXPECT_TRUE(outweighs(weights, 1));
  EXPECT_TRUE(outweighs({}, 1));
}

TEST(WhomToForget, the_longest_silent_but_no_shareholder) {
  const auto at = [](int second) { return util::SteadyTime(seconds(second)); };
  EXPECT_EQ(whom_to_forget(std::vector<Remembered>{{9, at(3)}, {8, at(1)}, {7, at(2)}}), 1u);
  std::vector<Remembered> crowd;
  for (uint64_t i = 0; i < 100; ++i) crowd.push_back({1 + i, at(1000 - static_cast<int>(i))});
  EXPECT_EQ(whom_to_forget(crowd), 67u) << "68 and more are the 32 heaviest";
  const std::vector<Remembered> unmet{{0, at(5)}, {0, at(4)}};
  EXPECT_EQ(whom_to_forget(unmet), 1u);
  std::vector<Remembered> one_at_many_ports(257, Remembered{7, at(9)});
  one_at_many_ports[200].heard = at(8);
  EXPECT_EQ(whom_to_forget(one_at_many_ports), 200u);
}

class CrowdOfViews : public testing::Test {
 protected:
  static Endpoint at(size_t i) {
    return {"10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250), 7946};
  }
  static std::string id(size_t i) { return "node " + std::to_string(i); }
  void ask_us(size_t first, size_t end) {
    for (size_t i = first; i < end; ++i)
      views_.wanted_by(at(i), layer_.digest, now_ += std::chrono::milliseconds(1), id(i));
  }

  const chunk::LayerRef layer_{kCrowdLayer, 1 << 20, {{"docker.io", "library/nginx"}}};
  util::SteadyTime now_{std::chrono::hours(1)};
  LayerViews views_;
};

TEST_F(CrowdOfViews, keeps_its_shareholders_and_who_was_heard_last) {
  views_.interest(layer_, now_);
  ask_us(0, 1000);
  const auto members = views_.members(layer_.digest, {0, 1}, now_);
  EXPECT_EQ(members.size(), LayerViews::kMostPeers);
  const auto told = views_.shareholders_of(layer_.digest, now_);
  const auto right = shareholders(weights_of(1000));
  ASSERT_EQ(told.size(), right.size());
  for (const size_t i : right) {
    ASSERT_TRUE(told.contains(id(i))) << i;
    EXPECT_EQ(told.at(id(i)), at(i));
  }
  EXPECT_TRUE(std::any_of(members.begin(), members.end(),
                          [&](const auto& one) { return one.endpoint == at(999); }));
  EXPECT_TRUE(views_.shareholders_of(layer_.digest, now_ + seconds(11)).empty())
      << "not heard since";
}

TEST_F(CrowdOfViews, does_not_take_who_has_nothing_of_the_layer_for_a_shareholder) {
  views_.interest(layer_, now_);
  for (size_t i = 0; i < 500; ++i)
    views_.heard(at(i), "docker.io/library/nginx", {layer_.digest}, {}, now_, id(i));
  EXPECT_TRUE(views_.shareholders_of(layer_.digest, now_).empty());
  ask_us(500, 600);
  EXPECT_EQ(views_.shareholders_of(layer_.digest, now_).size(), kMostShareholders);
  EXPECT_TRUE(views_.members(layer_.digest, {0, 1}, now_).size() == 100u) << "they made room";
  std::set<Endpoint> askers;
  for (size_t i = 500; i < 600; ++i) askers.insert(at(i));
  for (const auto& [endpoint, peer] : views_.to_ask(layer_.digest))
    EXPECT_EQ(peer.weight > 0, askers.contains(endpoint)) << endpoint.to_string();
}

TEST_F(CrowdOfViews, asks_whom_it_is_told_of_only_where_it_would_be_a_shareholder) {
  EXPECT_FALSE(views_.named(layer_.digest, id(1), at(1))) << "nobody is interested";
  views_.interest(layer_, now_);
  EXPECT_TRUE(views_.named(layer_.digest, id(1), at(1)));
  const auto named = views_.to_ask(layer_.digest);
  ASSERT_EQ(named.size(), 1u);
  EXPECT_EQ(named.at(at(1)).weight, shareholder_weight(layer_.digest, id(1)));
  EXPECT_TRUE(named.at(at(1)).named);
  ask_us(0, 900);
  for (const auto& [endpoint, peer] : views_.to_ask(layer_.digest))
    EXPECT_FALSE(peer.named) << "it was heard";
  EXPECT_FALSE(views_.named(layer_.digest, id(1), at(1)));
  const auto weights = weights_of(1000);
  const auto right = as_set(shareholders(weights));
  for (size_t i = 900; i < 1000; ++i) {
    if (!right.contains(i)) continue;
    EXPECT_TRUE(views_.named(layer_.digest, id(i), at(i))) << i;
  }
  size_t light = 900;
  while (right.contains(light)) ++light;
  const std::vector<uint64_t> known(weights.begin(), weights.begin() + 900);
  EXPECT_EQ(views_.named(layer_.digest, id(light), at(light)), outweighs(known, weights[light]));
}

TEST_F(CrowdOfViews, asks_soon_whom_the_dht_names_after_those_whom_peers_name) {
  views_.interest(layer_, now_);
  views_.may_have(layer_.digest, at(1));
  ASSERT_TRUE(views_.named(layer_.digest, id(2), at(2)));
  const auto to_ask = views_.to_ask(layer_.digest);
  EXPECT_TRUE(to_ask.at(at(1)).named);
  EXPECT_TRUE(to_ask.at(at(2)).named);
  EXPECT_GT(to_ask.at(at(1)).weight, 0u) << "or it would wait for its turn";
  EXPECT_LT(to_ask.at(at(1)).weight, to_ask.at(at(2)).weight);
}

TEST(NewsPatience, is_for_views_to_become_one_where_peers_are_a_crowd) {
  using std::chrono::milliseconds;
  struct Case {
    size_t known;
    bool some_yet_to_answer;
    milliseconds patience;
  };
  for (const Case& one :
       {Case{0, false, milliseconds(300)}, Case{7, false, milliseconds(300)},
        Case{7, true, milliseconds(1'000)}, Case{kMostAsked, false, milliseconds(300)},
        Case{kMostAsked + 1, false, milliseconds(1'000)}, Case{256, true, milliseconds(1'000)}})
    EXPECT_EQ(news_patience(one.known, one.some_yet_to_answer), one.patience)
        << one.known << " known, " << one.some_yet_to_answer;
}

TEST(ShareholderWeights, are_those_of_each_node) {
  const auto layer = util::Sha256::of(util::as_bytes("layer"));
  const ShareholderWeights weigh(layer);
  for (const char* node : {"", "a", "another"})
    EXPECT_EQ(weigh(node), shareholder_weight(layer, node)) << node;
}

}  // namespace
}  // namespace swarmfs::swarm
