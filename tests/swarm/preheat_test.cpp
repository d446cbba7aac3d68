// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "swarm/fake_preheats.h"
#include "swarm/preheat_choice.h"
#include "swarm/preheat_door.h"
#include "swarm/preheat_talk.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using State = PreheatState::State;
using Texts = std::vector<std::string>;
using util::Failure;
using util::Fault;

TEST(PreheatState, travels_whole) {
  for (const auto state : {State::running, State::done, State::failed}) {
    const PreheatState said{state, "why \"not\"", 100, 7, 1.5, {{"peer", 3}, {"registry", 4}}};
    const auto heard = PreheatState::parse(said.to_json());
    ASSERT_TRUE(heard) << said.to_json();
    EXPECT_EQ(heard->state, state);
    EXPECT_EQ(heard->error, "why \"not\"");
    EXPECT_EQ(heard->bytes_total, 100u);
    EXPECT_EQ(heard->bytes_done, 7u);
    EXPECT_DOUBLE_EQ(heard->seconds, 1.5);
    EXPECT_EQ(heard->sources, said.sources);
  }
}

TEST(PreheatState, that_makes_no_sense_is_refused) {
  const std::string good =
      R"({"state":"done","error":"","bytes_total":1,"bytes_done":1,"seconds":1,"bytes_by_source":{"a":1}})";
  ASSERT_TRUE(PreheatState::parse(good));
  const auto with = [&](const std::string& part, const std::string& other) {
    std::string made = good;
    return made.replace(made.find(part), part.size(), other);
  };
  const std::string table[] = {
      "",
      "[]",
      "{}",
      good.substr(1),
      with(R"("done")", R"("gone")"),
      with(R"("done")", "7"),
      with(R"("error":"")", R"("error":{})"),
      with(R"("bytes_total":1)", R"("bytes_total":-1)"),
      with(R"("bytes_total":1)", R"("bytes_total":1.5)"),
      with(R"("bytes_total":1)", R"("bytes_total":1125899906842625)"),
      with(R"("bytes_done":1,)", ""),
      with(R"("seconds":1)", R"("seconds":-1)"),
      with(R"("seconds":1)", R"("seconds":1e99)"),
      with(R"("seconds":1)", R"("seconds":"1")"),
      with(R"({"a":1})", "[1]"),
      with(R"({"a":1})", R"({"a":-1})"),
      with(R"({"a":1})", R"({"":1})"),
      with(R"({"a":1})", R"({"\n":1})"),
      with(R"({"a":1})", R"({")" + std::string(33, 'a') + R"(":1})"),
  };
  for (const auto& text : table) EXPECT_FALSE(PreheatState::parse(text)) << text;
}

TEST(PreheatState, has_text_that_is_fit_for_a_terminal) {
  EXPECT_EQ(one_line("no such image\n"), "no such image");
  EXPECT_EQ(one_line("a\x1b[2Jb\nc\xc3\xa4\x7f"), "a?[2Jb?c???");
  EXPECT_EQ(one_line(std::string(9999, 'x')).size(), 500u);
  PreheatState said;
  said.error = "\x1b]0;owned\x07";
  said.sources["\x1b[31m"] = 1;
  const auto heard = PreheatState::parse(said.to_json());
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->error, "?]0;owned?");
  EXPECT_TRUE(heard->sources.contains("?[31m"));
}

TEST(PreheatOrder, has_a_number_of_its_own) {
  const auto one = PreheatOrder::make_id(), other = PreheatOrder::make_id();
  EXPECT_TRUE(PreheatOrder::is_id(one)) << one;
  EXPECT_NE(one, other);
  EXPECT_TRUE(PreheatOrder::is_id("0123456789abcdef0123456789abcdef"));
  for (const char* text :
       {"", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0",
        "0123456789ABCDEF0123456789abcdef", "0123456789abcdef0123456789abcde/"})
    EXPECT_FALSE(PreheatOrder::is_id(text)) << text;
}

/// "a1" is node 1 of zone a.
Peer member(const std::string& name) {
  Peer made;
  made.endpoint = {"10.0.0." + name.substr(1), 7946};
  made.node_id = name;
  made.zone = name.substr(0, 1);
  return made;
}

Peer silent(Peer peer) {
  peer.failures = 1;
  peer.failure = "refused";
  return peer;
}

Peer banned(Peer peer) {
  peer.banned = "wrong bytes";
  return peer;
}

const PreheatMember kSelf{{"10.0.0.9", 7946}, "b9", "b"};

Texts names(const PreheatChoice& choice) {
  Texts made;
  for (const auto& one : choice.members) made.push_back(one.node_id);
  return made;
}

TEST(PreheatChoice, begins_with_ourselves_and_takes_of_each_zone_in_turn) {
  std::vector<Peer> peers;
  for (const char* name : {"a1", "a2", "a3", "b1", "b2", "c1"}) peers.push_back(member(name));
  std::mt19937 random(1);
  const std::pair<PreheatWish, Texts> table[] = {
      {{1, ""}, {"b9"}},
      {{2, ""}, {"b9", "a1"}},
      {{3, ""}, {"b9", "a1", "c1"}},
      {{5, ""}, {"b9", "a1", "c1", "a2", "b1"}},
      {{{}, ""}, {"b9", "a1", "c1", "a2", "b1", "a3", "b2"}},
      {{{}, "a"}, {"a1", "a2", "a3"}},
      {{2, "b"}, {"b9", "b1"}},
      {{{}, "c"}, {"c1"}},
  };
  for (const auto& [wish, expected] : table)
    for (int i = 0; i < 5; ++i) {
      std::shuffle(peers.begin(), peers.end(), random);
      const auto choice = choose_to_preheat(kSelf, peers, wish);
      ASSERT_TRUE(choice) << choice.failure().message;
      // Ours has moved to the front of its turn; the others are as they are for everybody.
      EXPECT_EQ(names(*choice), expected) << wish.zone;
    }
}

TEST(PreheatChoice, takes_each_node_once_and_nobody_unmet_silent_or_banned) {
  Peer unmet = member("a1");
  unmet.node_id.clear();
  Peer again = member("a2");
  again.endpoint.port = 1;
  Peer us = member("b9");
  us.endpoint = {"10.1.0.9", 7946};
  const std::vector<Peer> peers{unmet,
                                member("a2"),
                                again,
                                us,
                                silent(member("a3")),
                                banned(silent(member("c1"))),
                                silent(member("a4"))};
  const auto choice = choose_to_preheat(kSelf, peers, {});
  ASSERT_TRUE(choice);
  EXPECT_EQ(names(*choice), (Texts{"b9", "a2"}));
  Texts left_out;
  for (const auto& [one, why] : choice->left_out) left_out.push_back(one.node_id + " " + why);
  EXPECT_EQ(left_out, (Texts{"c1 banned: wrong bytes", "a3 silent: refused", "a4 silent: refused",
                             " never met"}));
  EXPECT_EQ(choice->left_out.back().member.endpoint.address, "10.0.0.1");
  const auto of_zone = choose_to_preheat(kSelf, peers, {{}, "a"});
  ASSERT_TRUE(of_zone);
  EXPECT_EQ(of_zone->left_out.size(), 3u) << "c1 was not meant";
}

TEST(PreheatChoice, names_who_was_never_met_only_where_all_are_wished_for) {
  Peer fresh = member("a1"), deaf = silent(member("a2"));
  fresh.node_id.clear();
  fresh.zone.clear();
  deaf.node_id.clear();
  const std::vector<Peer> peers{fresh, deaf, member("b1")};
  const auto all = choose_to_preheat(kSelf, peers, {});
  ASSERT_TRUE(all);
  ASSERT_EQ(all->left_out.size(), 2u);
  EXPECT_EQ(all->left_out[0].why, "never met");
  EXPECT_EQ(all->left_out[1].why, "never met, silent: refused");
  const auto two = choose_to_preheat(kSelf, peers, {2, ""});
  ASSERT_TRUE(two);
  EXPECT_TRUE(two->left_out.empty());
}

TEST(PreheatChoice, takes_a_node_by_the_endpoint_where_it_answers) {
  Peer deaf = silent(member("a1"));
  deaf.endpoint.address = "10.0.0.0";
  const auto choice = choose_to_preheat(kSelf, std::vector<Peer>{deaf, member("a1")}, {});
  ASSERT_TRUE(choice);
  ASSERT_EQ(names(*choice), (Texts{"b9", "a1"}));
  EXPECT_EQ(choice->members[1].endpoint.address, "10.0.0.1");
  EXPECT_TRUE(choice->left_out.empty());
}

TEST(PreheatChoice, says_how_many_there_are_where_they_are_too_few) {
  const std::vector<Peer> peers{member("a1"), member("b1"), silent(member("b2"))};
  const std::tuple<PreheatWish, const char*> table[] = {
      {{4, ""}, "4 nodes were asked for, but 3 can be asked, and 1 silent or banned"},
      {{2, "a"}, "2 nodes were asked for, but 1 can be asked in zone a (see: swarmfs peers)"},
      {{{}, "x"}, "all nodes were asked for, but 0 can be asked in zone x"},
  };
  for (const auto& [wish, expected] : table) {
    const auto choice = choose_to_preheat(kSelf, peers, wish);
    ASSERT_FALSE(choice) << expected;
    EXPECT_EQ(choice.failure().fault, Fault::unavailable);
    EXPECT_EQ(choice.failure().message.rfind(expected, 0), 0u) << choice.failure().message;
  }
}

const util::SteadyTime kNow{seconds(1000)};
constexpr PreheatTalk::Pace kPace{milliseconds(500), seconds(30), seconds(5), seconds(600)};

TEST(PreheatTalk, orders_once_and_then_looks_until_the_end) {
  PreheatTalk talk(kPace, kNow);
  ASSERT_EQ(talk.next(kNow), PreheatTalk::Next::order);
  talk.asking();
  EXPECT_EQ(talk.next(kNow + seconds(9)), PreheatTalk::Next::nothing) << "one thing at a time";
  talk.accepted(kNow + seconds(1));
  EXPECT_EQ(talk.next(kNow + milliseconds(1499)), PreheatTalk::Next::nothing);
  ASSERT_EQ(talk.next(kNow + milliseconds(1500)), PreheatTalk::Next::look);
  talk.asking();
  talk.heard({State::running, "", 100, 50, 1, {}}, kNow + seconds(2));
  EXPECT_EQ(talk.state().bytes_done, 50u);
  EXPECT_FALSE(talk.ended());
  ASSERT_EQ(talk.next(kNow + seconds(3)), PreheatTalk::Next::look);
  talk.asking();
  talk.heard({State::done, "", 100, 100, 2, {}}, kNow + seconds(3));
  EXPECT_TRUE(talk.ended());
  EXPECT_EQ(talk.next(kNow + seconds(60)), PreheatTalk::Next::nothing);
}

TEST(PreheatTalk, is_patient_with_silence_but_not_for_ever) {
  for (const bool accepted : {false, true}) {
    PreheatTalk talk(kPace, kNow);
    if (accepted) {
      talk.asking();
      talk.accepted(kNow);
    }
    const auto again = accepted ? PreheatTalk::Next::look : PreheatTalk::Next::order;
    for (int i = 1; i < 30; ++i) {
      ASSERT_EQ(talk.next(kNow + seconds(i)), again) << i;
      talk.asking();
      talk.silent("refused", kNow + seconds(i));
      ASSERT_FALSE(talk.ended()) << i;
    }
    talk.asking();
    talk.silent("refused", kNow + seconds(31));
    EXPECT_TRUE(talk.ended());
    EXPECT_EQ(talk.state().state, State::failed);
    EXPECT_EQ(talk.state().error, "silent for 31 s: refused");
    EXPECT_DOUBLE_EQ(talk.state().seconds, 31);
  }
}

TEST(PreheatTalk, an_answer_makes_up_for_the_silence_before_it) {
  PreheatTalk talk(kPace, kNow);
  talk.silent("refused", kNow + seconds(29));
  talk.accepted(kNow + seconds(29));
  talk.silent("refused", kNow + seconds(58));
  EXPECT_FALSE(talk.ended());
  talk.heard({State::running, "", 100, 50, 1, {}}, kNow + seconds(58));
  talk.silent("refused", kNow + seconds(87));
  EXPECT_FALSE(talk.ended());
  EXPECT_EQ(talk.state().bytes_done, 50u) << "what was heard last stays";
}

TEST(PreheatTalk, a_refusal_ends_it_and_what_was_heard_stays) {
  PreheatTalk talk(kPace, kNow);
  talk.accepted(kNow);
  talk.heard({State::running, "", 100, 50, 1, {{"peer", 50}}}, kNow + seconds(1));
  talk.refused("no", kNow + seconds(4));
  EXPECT_EQ(talk.state().state, State::failed);
  EXPECT_EQ(talk.state().error, "no");
  EXPECT_EQ(talk.state().sources.at("peer"), 50u);
  EXPECT_DOUBLE_EQ(talk.state().seconds, 4);
}

TEST(PreheatTalk, orders_again_where_it_was_put_off_and_gives_up_when_nothing_comes_of_it) {
  PreheatTalk talk(kPace, kNow);
  auto now = kNow;
  while (now < kNow + seconds(595)) {
    ASSERT_EQ(talk.next(now), PreheatTalk::Next::order);
    talk.asking();
    talk.put_off("busy", now);
    ASSERT_EQ(talk.next(now + milliseconds(4999)), PreheatTalk::Next::nothing) << "a pause";
    now += seconds(5);
  }
  EXPECT_FALSE(talk.ended());
  talk.put_off("busy", now += seconds(5));
  EXPECT_EQ(talk.state().state, State::failed);
  EXPECT_EQ(talk.state().error, "no progress for 600 s: busy");
}

TEST(PreheatTalk, who_forgets_an_order_is_given_it_anew_and_starts_anew_three_times) {
  PreheatTalk talk(kPace, kNow);
  talk.accepted(kNow);
  talk.heard({State::running, "", 100, 50, 1, {}}, kNow + seconds(500));
  auto now = kNow + seconds(700);
  for (int i = 0; i < 3; ++i) {
    talk.put_off("forgot", now);
    ASSERT_EQ(talk.next(now + seconds(5)), PreheatTalk::Next::order);
    talk.accepted(now + seconds(5));
    EXPECT_EQ(talk.next(now + seconds(6)), PreheatTalk::Next::look);
    talk.heard({State::running, "", 100, 40, 1, {}}, now += seconds(590));
    ASSERT_FALSE(talk.ended()) << i;
  }
  talk.put_off("forgot", now);
  talk.accepted(now + seconds(5));
  talk.heard({State::running, "", 100, 40, 1, {}}, now + seconds(590));
  EXPECT_FALSE(talk.ended());
  talk.heard({State::running, "", 100, 40, 1, {}}, now + seconds(601));
  EXPECT_TRUE(talk.ended()) << "to have no more than before was no progress";
}

TEST(PreheatTalk, takes_only_more_bytes_than_ever_for_progress) {
  const struct { uint64_t total, done; } said[] = {{200, 50}, {300, 40}, {100, 101}, {50, 50}};
  PreheatTalk talk(kPace, kNow);
  talk.accepted(kNow);
  talk.heard({State::running, "", 100, 50, 1, {}}, kNow);
  for (const auto& one : said) {
    ASSERT_FALSE(talk.ended());
    talk.heard({State::running, "", one.total, one.done, 1, {}}, kNow + seconds(599));
  }
  talk.heard({State::running, "", 400, 50, 1, {}}, kNow + seconds(600));
  EXPECT_TRUE(talk.ended());
}

TEST(PreheatTalk, gives_up_who_says_that_it_runs_and_brings_nothing_in) {
  PreheatTalk talk(kPace, kNow);
  talk.accepted(kNow);
  auto now = kNow;
  for (uint64_t i = 1; i <= 10; ++i)
    talk.heard({State::running, "", 100, i, 1, {}}, now += seconds(599));
  EXPECT_FALSE(talk.ended()) << "slow is not stuck";
  talk.heard({State::running, "", 100, 10, 1, {}}, now + seconds(599));
  EXPECT_FALSE(talk.ended());
  EXPECT_TRUE(talk.may_go_on());
  talk.heard({State::running, "", 100, 10, 1, {}}, now + seconds(601));
  EXPECT_TRUE(talk.ended());
  EXPECT_EQ(talk.state().error, "no progress for 601 s");
  EXPECT_TRUE(talk.may_go_on()) << "so the order has to be taken back";
  PreheatTalk late(kPace, kNow);
  late.accepted(kNow);
  late.heard({State::done, "", 100, 100, 1, {}}, kNow + seconds(9999));
  EXPECT_EQ(late.state().state, State::done);
  EXPECT_FALSE(late.may_go_on());
}

const std::string kId(32, 'a');

struct Asked {
  const char* method;
  std::string path;
  std::map<std::string, std::string> query;
};

http::PeerResponse knock(const Asked& asked, Preheats* preheats) {
  return answer_about_preheating(
      http::PeerRequest{asked.method, asked.path, asked.query, {}, "10.0.0.1:1", "a1"}, preheats);
}

std::string text_of(const http::PeerResponse& response) {
  std::string made;
  for (const auto& part : response.body) made += util::as_text(part.view());
  return made;
}

TEST(PreheatDoor, says_what_the_node_says) {
  FakePreheats preheats;
  preheats.seen_.lock()->state = {State::done, "", 5, 5, 1, {}};
  const std::string path = "/v1/preheats/" + kId;
  EXPECT_EQ(
      knock({"POST", path, {{"reference", "r:1"}, {"platform", "linux/arm64"}}}, &preheats).status,
      202);
  EXPECT_EQ(knock({"POST", path, {{"reference", "r:1"}}}, &preheats).status, 202);
  const auto state = knock({"GET", path, {}}, &preheats);
  EXPECT_EQ(state.status, 200);
  EXPECT_EQ(PreheatState::parse(text_of(state))->bytes_total, 5u);
  EXPECT_EQ(knock({"DELETE", path, {}}, &preheats).status, 200);
  auto seen = preheats.seen_.lock();
  EXPECT_EQ(seen->calls, (Texts{"begin r:1 linux/arm64", "begin r:1 ", "look", "take back"}));
  for (const auto& order : seen->orders) EXPECT_EQ(order, (PreheatOrder{"a1", kId}));
}

TEST(PreheatDoor, gives_each_refusal_its_status) {
  const std::pair<Fault, int> table[] = {{Fault::not_found, 404}, {Fault::denied, 403},
                                         {Fault::invalid, 400},   {Fault::unavailable, 503},
                                         {Fault::no_space, 503},  {Fault::timed_out, 503}};
  for (const auto& [fault, status] : table) {
    FakePreheats preheats;
    preheats.seen_.lock()->refusal = Failure{fault, "why"};
    preheats.seen_.lock()->lost = Failure{fault, "why"};
    for (const char* method : {"POST", "GET"}) {
      const auto answer = knock({method, "/v1/preheats/" + kId, {{"reference", "r"}}}, &preheats);
      EXPECT_EQ(answer.status, status) << method;
      EXPECT_EQ(text_of(answer), "why\n");
    }
  }
}

TEST(PreheatDoor, asks_nothing_of_the_node_that_makes_no_sense) {
  FakePreheats preheats;
  const std::string path = "/v1/preheats/" + kId;
  const std::pair<Asked, int> table[] = {
      {{"POST", path, {}}, 400},
      {{"POST", path, {{"reference", std::string(513, 'r')}}}, 400},
      {{"POST", path, {{"reference", "r"}, {"platform", std::string(65, 'p')}}}, 400},
      {{"POST", "/v1/preheats/", {{"reference", "r"}}}, 400},
      {{"POST", path + "0", {{"reference", "r"}}}, 400},
      {{"GET", "/v1/preheats/../layers", {}}, 400},
      {{"PUT", path, {{"reference", "r"}}}, 405},
      {{"HEAD", path, {}}, 405},
  };
  for (const auto& [asked, status] : table)
    EXPECT_EQ(knock(asked, &preheats).status, status) << asked.method << " " << asked.path;
  EXPECT_TRUE(preheats.seen_.lock()->calls.empty());
  EXPECT_EQ(knock({"POST", path, {{"reference", "r"}}}, nullptr).status, 403);
  EXPECT_TRUE(is_about_preheating(path));
  for (const char* other : {"/v1/preheats", "/v1/layers", "/v1/layers/v1/preheats/"})
    EXPECT_FALSE(is_about_preheating(other)) << other;
}

}  // namespace
}  // namespace swarmfs::swarm
