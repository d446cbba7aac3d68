// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/survey.h"

#include <atomic>

#include "swarm/demand_fixture.h"

namespace swarmfs::swarm {
namespace {

using namespace std::chrono_literals;

class SurveyTest : public DemandTest {
 protected:
  /// Answers every question with this news of the layer.
  Peer& member(const std::string& name, const LayerNews& said, const std::string& zone = "there") {
    const News news{zone, {{layer_.digest, said}}};
    auto& made =
        peer(name, [text = news.to_json()](const Peer::Asked&) { return Peer::answer(200, text); });
    table_.met(at(made), name, zone);
    return made;
  }
  static LayerNews has(uint64_t blocks, bool wants = false) {
    LayerNews made{kSize, wants, false, BlockSet(chunk::block_count(kSize))};
    made.blocks.add({0, blocks});
    return made;
  }
  Survey ask() { return survey(client_, table_, "here", {layer_}, 60s); }
};

TEST_F(SurveyTest, says_who_has_how_much) {
  member("all", news(true, true));
  member("some", has(7, true));
  member("nothing", has(0));
  auto& polite = member("wants", has(0, true));
  const auto found = ask();
  EXPECT_EQ(found.known, 4u);
  EXPECT_EQ(found.asked, 4u);
  EXPECT_EQ(found.answered, 4u);
  std::map<std::string, SurveyedMember> members;
  for (const auto& one : found.members.at(layer_.digest)) members.emplace(one.node_id, one);
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members.at("all").blocks.count(), chunk::block_count(kSize));
  EXPECT_TRUE(members.at("all").sealed);
  EXPECT_EQ(members.at("all").zone, "there");
  EXPECT_EQ(members.at("some").blocks.count(), 7u);
  EXPECT_TRUE(members.at("some").wants);
  EXPECT_EQ(members.at("wants").endpoint, at(polite));
  EXPECT_EQ(polite.asked()[0].target, "/v1/layers?layers=" + layer_.digest.hex() +
                                          "&look=1&port=4711&repository=docker.io%2Flibrary%2F"
                                          "nginx&zone=here");
  EXPECT_TRUE(views_.members(layer_.digest, {}, clock_.now()).empty()) << "to look is no interest";
}

TEST_F(SurveyTest, counts_a_node_once_and_nobody_who_makes_no_sense) {
  member("a", has(7));
  auto& other_size = member("b", LayerNews{99, false, true, BlockSet(1)});
  auto& nonsense = peer("c", [](const Peer::Asked&) { return Peer::answer(200, "nonsense"); });
  auto& closed = peer("d", [](const Peer::Asked&) { return Peer::answer(403, "no"); });
  auto& liar = member("e", has(9));
  for (const auto& [one, name] : {std::pair(&nonsense, "c"), std::pair(&closed, "d")})
    table_.met(at(*one), name, "");
  table_.ban(at(liar), "wrong bytes");
  auto second = layer_;
  second.origins.push_back({"docker.io", "library/other"});
  const auto found = survey(client_, table_, "here", {second}, 60s);
  EXPECT_EQ(found.known, 4u) << "a banned one is not asked";
  EXPECT_EQ(found.answered, 2u);
  ASSERT_EQ(found.members.at(layer_.digest).size(), 1u);
  EXPECT_EQ(found.members.at(layer_.digest)[0].node_id, "a");
  EXPECT_EQ(peers_.front().asked().size(), 1u) << "in one repository";
  EXPECT_EQ(closed.asked().size(), 2u) << "in the second, too, where the first is refused";
  EXPECT_TRUE(liar.asked().empty());
  EXPECT_EQ(other_size.asked().size(), 1u);
}

TEST_F(SurveyTest, asks_who_refuses_once_more_when_it_knows_whom_it_asks) {
  access_.secrets[layer_.digest] = layer_.digest;
  const News news{"there", {{layer_.digest, has(5)}}};
  auto& strict = peer("strict", [text = news.to_json()](const Peer::Asked& asked) {
    return asked.header("Swarmfs-Proof").empty() ? Peer::answer(403, "show it")
                                                 : Peer::answer(200, text);
  });
  table_.add({at(strict)});
  const auto found = ask();
  EXPECT_EQ(found.answered, 1u);
  ASSERT_EQ(strict.asked().size(), 2u);
  EXPECT_EQ(found.members.at(layer_.digest).at(0).blocks.count(), 5u);
  EXPECT_EQ(table_.find(at(strict))->node_id, "strict");
}

TEST_F(SurveyTest, takes_who_answers_one_of_two_questions_for_who_has_not_answered) {
  auto other = layer_;
  other.digest = util::Sha256::of(util::as_bytes("other"));
  other.origins = {{"docker.io", "library/other"}};
  const News news{"there", {{layer_.digest, has(7)}}};
  auto& half = peer("half", [text = news.to_json()](const Peer::Asked& asked) {
    return asked.target.find("other") == std::string::npos ? Peer::answer(200, text)
                                                           : Peer::answer(500, "no");
  });
  table_.met(at(half), "half", "");
  const auto found = survey(client_, table_, "here", {layer_, other}, 60s);
  EXPECT_EQ(half.asked().size(), 2u);
  EXPECT_EQ(found.answered, 0u);
  EXPECT_EQ(found.members.at(layer_.digest).size(), 1u) << "what it said counts";
}

TEST_F(SurveyTest, takes_no_answer_that_is_longer_than_the_layers_need) {
  auto& long_winded = peer("long", [](const Peer::Asked&) {
    return Peer::answer(200, std::string(1 << 20, ' ') + R"({"zone":"","layers":{}})");
  });
  table_.met(at(long_winded), "long", "");
  EXPECT_EQ(ask().answered, 0u);
}

TEST_F(SurveyTest, bounds_what_it_asks_of_one_peer) {
  auto& one = member("a", has(7));
  std::vector<chunk::LayerRef> many;
  for (int i = 0; i < 40; ++i) {
    auto layer = layer_;
    layer.digest = util::Sha256::of(util::as_bytes(std::to_string(i)));
    layer.origins = {{"docker.io", "library/" + std::to_string(i)}};
    many.push_back(layer);
  }
  const auto found = survey(client_, table_, "here", many, 60s);
  EXPECT_EQ(found.answered, 1u);
  EXPECT_EQ(one.asked().size(), 16u);
}

TEST_F(SurveyTest, does_not_wait_for_who_is_silent_for_ever) {
  member("a", has(7));
  auto& silent = peer("b", [](const Peer::Asked&) { return says("", Then::wait); });
  table_.met(at(silent), "b", "");
  const auto found = survey(client_, table_, "here", {layer_}, 2s);
  EXPECT_EQ(found.asked, 2u);
  EXPECT_LE(found.answered, 1u);
}

TEST_F(SurveyTest, of_nothing_asks_nobody) {
  auto& one = member("a", has(7));
  EXPECT_EQ(survey(client_, table_, "here", {}, 60s).asked, 0u);
  auto nowhere = layer_;
  nowhere.origins.clear();
  EXPECT_TRUE(survey(client_, table_, "here", {nowhere}, 60s).members.empty());
  EXPECT_TRUE(one.asked().empty());
}

}  // namespace
}  // namespace swarmfs::swarm
