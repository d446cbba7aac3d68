// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/preheat_run.h"

#include <atomic>

#include "swarm/demand_fixture.h"
#include "swarm/fake_preheats.h"

namespace swarmfs::swarm {
namespace {

using namespace std::chrono_literals;
using State = PreheatState::State;

/// "me", who orders, and members that are scripted.
class PreheatRunTest : public DemandTest {
 protected:
  static std::string method_of(const Peer::Asked& asked) {
    return asked.head.substr(0, asked.head.find(' '));
  }
  static std::string state(State state, uint64_t done, const std::string& error = "") {
    return PreheatState{state, error, 100, done, 1, {{"peer", done}}}.to_json();
  }
  /// Takes the order, is asked `looks` times while it runs, and then is done.
  static Peer::Script willing(int looks) {
    auto asked_before = std::make_shared<std::atomic<int>>(0);
    return [=](const Peer::Asked& asked) {
      if (method_of(asked) != "GET") return Peer::answer(202, "{}");
      const int before = (*asked_before)++;
      return Peer::answer(200,
                          before < looks ? state(State::running, 10) : state(State::done, 100));
    };
  }
  static Peer::Script answers(int order_status, int look_status, const std::string& text) {
    return [=](const Peer::Asked& asked) {
      return method_of(asked) == "POST" ? Peer::answer(order_status, text)
                                        : Peer::answer(look_status, text);
    };
  }
  PreheatMember member(const std::string& name, Peer::Script script) {
    return {at(peer(name, std::move(script))), name, "there"};
  }
  std::unique_ptr<PreheatRun> order(std::vector<PreheatMember> members,
                                    util::Duration silence = 60s, util::Duration patience = 60s) {
    return std::make_unique<PreheatRun>(
        PreheatPlan{
            "a.test/b:1", "linux/amd64", std::move(members), {10ms, silence, 20ms, patience}},
        "me", client_, own_);
  }
  /// Of a run that has ended; it must, within a minute.
  static std::vector<PreheatState> end_of(PreheatRun& run) {
    const auto view = run.wait(60s);
    EXPECT_TRUE(view.ended);
    std::vector<PreheatState> made;
    for (const auto& node : view.nodes) made.push_back(node.state);
    return made;
  }
  size_t count(size_t peer_number, const std::string& method) {
    size_t made = 0;
    for (const auto& asked : std::next(peers_.begin(), static_cast<long>(peer_number))->asked())
      made += method_of(asked) == method;
    return made;
  }

  FakePreheats own_;
  const PreheatMember self_{{"127.0.0.1", 4711}, "me", "here"};
};

TEST_F(PreheatRunTest, orders_of_all_and_looks_until_each_is_done) {
  own_.seen_.lock()->state = {State::done, "", 100, 100, 1, {{"registry", 100}}};
  const auto run = order({self_, member("a", willing(0)), member("b", willing(3))});
  const auto states = end_of(*run);
  ASSERT_EQ(states.size(), 3u);
  for (const auto& state : states) {
    EXPECT_EQ(state.state, State::done) << state.error;
    EXPECT_EQ(state.bytes_done, 100u);
  }
  EXPECT_EQ(states[0].sources.at("registry"), 100u);
  EXPECT_EQ(states[2].sources.at("peer"), 100u);
  EXPECT_EQ(own_.seen_.lock()->calls,
            (std::vector<std::string>{"begin a.test/b:1 linux/amd64", "look"}));
  const auto ours = own_.seen_.lock()->orders[0];
  EXPECT_EQ(ours.node_id, "me");
  for (size_t i : {0u, 1u}) {
    EXPECT_EQ(count(i, "POST"), 1u);
    EXPECT_EQ(count(i, "GET"), i == 0 ? 1u : 4u);
    EXPECT_EQ(count(i, "DELETE"), 0u) << "what is done is not taken back";
  }
  const std::string target = peers_.front().asked()[0].target;
  EXPECT_EQ(target, "/v1/preheats/" + ours.id +
                        "?platform=linux%2Famd64&port=4711&reference=a.test%2Fb%3A1&zone=here");
}

TEST_F(PreheatRunTest, names_who_refuses_or_fails_and_the_others_go_on) {
  const auto run = order({member("a", answers(403, 500, "not for you\n")),
                          member("b", answers(400, 500, "odd\x1b[2J")),
                          member("c", answers(405, 500, "GET and HEAD only")),
                          member("d", answers(202, 200, state(State::failed, 5, "no such image"))),
                          member("f", willing(2))});
  const auto states = end_of(*run);
  const std::pair<State, const char*> expected[] = {
      {State::failed, "answers 403: not for you"},
      {State::failed, "answers 400: odd?[2J"},
      {State::failed, "answers 405: GET and HEAD only"},
      {State::failed, "no such image"},
      {State::done, ""},
  };
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(states[i].state, expected[i].first) << i;
    EXPECT_EQ(states[i].error, expected[i].second) << i;
  }
  EXPECT_EQ(states[3].bytes_done, 5u);
}

TEST_F(PreheatRunTest, orders_again_of_who_is_busy_or_has_forgotten) {
  auto posts = std::make_shared<std::atomic<int>>(0), looks = std::make_shared<std::atomic<int>>(0);
  const auto run = order({member("a", [=](const Peer::Asked& asked) {
    if (method_of(asked) == "POST") {
      const int before = (*posts)++;
      return before < 2 ? Peer::answer(before == 0 ? 503 : 404, "later") : Peer::answer(202, "{}");
    }
    return (*looks)++ == 0 ? Peer::answer(404, "no such order")
                           : Peer::answer(200, state(State::done, 100));
  })});
  EXPECT_EQ(end_of(*run)[0].state, State::done);
  EXPECT_EQ(*posts, 4);
  EXPECT_EQ(*looks, 2);
}

TEST_F(PreheatRunTest, gives_up_who_makes_no_progress_and_takes_the_order_back) {
  own_.seen_.lock()->state.state = State::running;
  const auto run = order({self_, member("a", willing(1 << 30)),
                          member("b", answers(503, 500, "busy")), member("c", willing(0))},
                         60s, 2s);
  const auto states = end_of(*run);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(states[i].state, State::failed) << i;
    EXPECT_EQ(states[i].error.rfind("no progress for ", 0), 0u) << states[i].error;
  }
  EXPECT_NE(states[2].error.find("answers 503: busy"), std::string::npos) << states[2].error;
  EXPECT_EQ(states[3].state, State::done);
  EXPECT_EQ(own_.seen_.lock()->calls.back(), "take back");
  EXPECT_EQ(count(0, "DELETE"), 1u);
}

TEST_F(PreheatRunTest, gives_up_who_is_silent_or_talks_nonsense) {
  Endpoint nobody;
  {
    const support::LoopbackListener gone(1);
    nobody = {"127.0.0.1", gone.port()};
  }
  const auto run = order({{nobody, "a", ""},
                          member("b", answers(202, 200, "nonsense")),
                          member("c", answers(202, 503, "overloaded")),
                          member("d", answers(202, 200, std::string(65 * 1024, ' '))),
                          member("e", willing(1))},
                         3s);
  const auto states = end_of(*run);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(states[i].state, State::failed) << i;
    EXPECT_EQ(states[i].error.rfind("silent for ", 0), 0u) << states[i].error;
  }
  EXPECT_NE(states[1].error.find("no state of a preheat"), std::string::npos) << states[1].error;
  EXPECT_NE(states[2].error.find("answers 503: overloaded"), std::string::npos) << states[2].error;
  EXPECT_EQ(states[4].state, State::done);
}

TEST_F(PreheatRunTest, asks_again_where_an_answer_was_lost) {
  auto times = std::make_shared<std::atomic<int>>(0);
  const auto run = order({member("a", [times](const Peer::Asked& asked) {
    if ((*times)++ % 2 == 0) return says("", Then::hang_up);
    return method_of(asked) == "POST" ? Peer::answer(202, "{}")
                                      : Peer::answer(200, state(State::done, 100));
  })});
  EXPECT_EQ(end_of(*run)[0].state, State::done);
  const auto asked = peers_.front().asked();
  ASSERT_GE(asked.size(), 4u);
  EXPECT_EQ(asked[0].target, asked[1].target) << "the same order";
}

TEST_F(PreheatRunTest, does_not_take_one_node_for_another) {
  auto other = member("a", willing(0));
  other.node_id = "b";
  const auto states = end_of(*order({other}));
  EXPECT_EQ(states[0].state, State::failed);
  EXPECT_EQ(states[0].error, "another node answers there now");
}

TEST_F(PreheatRunTest, takes_the_order_back_from_who_is_at_it) {
  own_.seen_.lock()->state.state = State::running;
  const auto run =
      order({self_, member("a", willing(1 << 30)), member("b", willing(0)),
             member("c", [](const Peer::Asked& asked) {
               return method_of(asked) == "DELETE" ? Peer::answer(200, "{}") : says("", Then::wait);
             })});
  const auto both_look = [&] {
    return run->wait({}).nodes[2].state.state == State::done && count(0, "GET") > 0 &&
           count(2, "POST") > 0;
  };
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (!both_look() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  ASSERT_TRUE(both_look());
  run->cancel();
  const auto view = run->wait(60s);
  EXPECT_TRUE(view.ended && view.cancelled);
  EXPECT_EQ(own_.seen_.lock()->calls.back(), "take back");
  EXPECT_EQ(count(0, "DELETE"), 1u);
  EXPECT_EQ(count(1, "DELETE"), 0u) << "it was done";
  EXPECT_EQ(count(2, "DELETE"), 1u) << "it may have begun, though its answer never came";
  EXPECT_EQ(view.nodes[2].state.state, State::done);
}

TEST_F(PreheatRunTest, our_own_failure_is_one_of_many) {
  own_.seen_.lock()->refusal = util::Failure{util::Fault::invalid, "no such platform"};
  const auto states = end_of(*order({self_, member("a", willing(1))}));
  EXPECT_EQ(states[0].error, "no such platform");
  EXPECT_EQ(states[1].state, State::done);
}

TEST_F(PreheatRunTest, ends_with_its_owner) {
  {
    const auto run = order({member("a", willing(1 << 30))});
    while (count(0, "GET") == 0) std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(count(0, "DELETE"), 1u);
}

}  // namespace
}  // namespace swarmfs::swarm
