// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/peer_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "swarm/latency.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Hands final : public util::Clock {
 public:
  [[nodiscard]] util::SteadyTime now() const override { return now_; }
  void turn(util::Duration by) { now_ += by; }

 private:
  util::SteadyTime now_{std::chrono::hours(1)};
};

class PeerTableTest : public testing::Test {
 protected:
  void answer(const Endpoint& endpoint, uint64_t length, util::Duration first, util::Duration rest,
              bool has_it = true) {
    auto attempt = table_.attempt(endpoint, length, has_it);
    ASSERT_TRUE(attempt);
    hands_.turn(first);
    attempt->arrived(1);
    hands_.turn(rest);
    attempt->arrived(length - 1);
    attempt->done();
  }
  void fail(const Endpoint& endpoint) {
    auto attempt = table_.attempt(endpoint, 1);
    ASSERT_TRUE(attempt);
    hands_.turn(milliseconds(1));
    attempt->failed("refused");
  }
  std::optional<Candidate> candidate(const Endpoint& endpoint, uint64_t length = 16'384) {
    for (Candidate& it : table_.candidates(length))
      if (it.endpoint == endpoint) return std::move(it);
    return {};
  }

  Hands hands_;
  PeerTable table_{"me", hands_};
  const Endpoint a_{"10.0.0.1", 7946};
  const Endpoint b_{"10.0.0.2", 7946};
};

TEST(Latency, smooths_and_remembers_the_slowest_of_the_last) {
  Latency latency;
  EXPECT_EQ(latency.p95(), util::Duration());
  for (int i = 0; i < 40; ++i) latency.add(milliseconds(i == 0 ? 1000 : 10));
  EXPECT_LT(latency.mean(), milliseconds(11));
  EXPECT_EQ(latency.p95(), milliseconds(10)) << "the first is long gone";
  latency.add(milliseconds(90));
  latency.add(milliseconds(90));
  EXPECT_EQ(latency.p95(), milliseconds(90));
}

TEST_F(PeerTableTest, a_zone_that_a_terminal_would_obey_is_none) {
  const Endpoint peer{"10.0.0.9", 7946};
  table_.met(peer, "a", "eu 1");
  EXPECT_EQ(table_.find(peer)->zone, "eu 1");
  for (const auto& zone : {std::string("\x1b]0;x"), std::string("a\nb"), std::string(64, 'z')}) {
    table_.met(peer, "a", zone);
    EXPECT_EQ(table_.find(peer)->zone, "");
  }
}

TEST_F(PeerTableTest, a_peer_that_was_heard_of_may_be_asked) {
  table_.add({a_, a_, b_});
  EXPECT_EQ(table_.list().size(), 2u);
  EXPECT_TRUE(candidate(a_));
  EXPECT_TRUE(candidate(a_)->node_id.empty());
  table_.met(a_, "node a", "zone 1");
  EXPECT_EQ(candidate(a_)->node_id, "node a");
  EXPECT_EQ(candidate(a_)->zone, "zone 1");
}

TEST_F(PeerTableTest, we_are_no_peer_of_ours) {
  table_.met(a_, "me", "");
  EXPECT_FALSE(candidate(a_));
  EXPECT_FALSE(table_.attempt(a_, 1));
}

TEST_F(PeerTableTest, what_was_measured_is_expected) {
  answer(a_, 16'384, milliseconds(8), milliseconds(0));
  answer(b_, 1 << 20, milliseconds(20), milliseconds(100));
  EXPECT_EQ(table_.find(a_)->first_byte, milliseconds(8));
  EXPECT_EQ(candidate(a_)->p95, milliseconds(8));
  EXPECT_LT(candidate(a_)->expected, milliseconds(9));
  const auto large = candidate(b_, 1 << 20)->expected;
  EXPECT_GE(large, milliseconds(119));
  EXPECT_LE(large, milliseconds(121));
  EXPECT_EQ(table_.find(b_)->bytes_given, 1u << 20);
}

TEST_F(PeerTableTest, a_way_to_the_registry_is_not_held_against_the_peers_own_speed) {
  answer(a_, 16'384, milliseconds(2), milliseconds(0));
  answer(a_, 16'384, milliseconds(300), milliseconds(0), false);
  EXPECT_EQ(table_.find(a_)->first_byte, milliseconds(2));
  EXPECT_EQ(candidate(a_)->relay, milliseconds(300));
  EXPECT_GT(table_.attempt(a_, 16'384, false)->expected(), milliseconds(301));
}

TEST_F(PeerTableTest, what_the_registry_takes_us_is_remembered_for_a_minute) {
  EXPECT_EQ(table_.registry(), util::Duration());
  table_.fetched(milliseconds(300));
  EXPECT_EQ(table_.registry(), milliseconds(300));
  hands_.turn(seconds(61));
  EXPECT_EQ(table_.registry(), util::Duration());
}

TEST_F(PeerTableTest, giving_up_on_a_late_answer_is_a_measurement) {
  answer(a_, 16'384, milliseconds(2), milliseconds(0));
  {
    const auto dropped_early = table_.attempt(a_, 16'384);
    hands_.turn(milliseconds(1));
  }
  EXPECT_EQ(table_.find(a_)->first_byte, milliseconds(2));
  {
    const auto dropped_late = table_.attempt(a_, 16'384);
    hands_.turn(milliseconds(102));
  }
  EXPECT_EQ(table_.find(a_)->first_byte, milliseconds(22));
  EXPECT_EQ(table_.find(a_)->failures, 0u);
}

TEST_F(PeerTableTest, a_slow_peer_gets_another_chance_after_a_minute) {
  answer(a_, 16'384, seconds(1), milliseconds(0));
  EXPECT_GE(candidate(a_)->expected, seconds(1));
  hands_.turn(seconds(61));
  EXPECT_LT(candidate(a_)->expected, milliseconds(10));
}

TEST_F(PeerTableTest, a_dead_peer_is_silent_for_twice_as_long_each_time_up_to_a_minute) {
  util::Duration silence = seconds(1);
  for (int i = 0; i < 9; ++i) {
    fail(a_);
    EXPECT_FALSE(candidate(a_));
    hands_.turn(silence - milliseconds(1));
    EXPECT_FALSE(table_.attempt(a_, 1)) << i;
    hands_.turn(milliseconds(1));
    EXPECT_TRUE(candidate(a_)) << i;
    silence = std::min<util::Duration>(2 * silence, seconds(60));
  }
  EXPECT_EQ(table_.find(a_)->failure, "refused");
  answer(a_, 1, milliseconds(1), milliseconds(0));
  EXPECT_EQ(table_.find(a_)->failures, 0u);
  fail(a_);
  hands_.turn(seconds(1));
  EXPECT_TRUE(candidate(a_)) << "starts at a second again";
}

TEST_F(PeerTableTest, only_one_attempt_probes_a_peer_that_was_silent) {
  fail(a_);
  hands_.turn(seconds(1));
  auto probe = table_.attempt(a_, 1);
  ASSERT_TRUE(probe);
  EXPECT_FALSE(table_.attempt(a_, 1));
  EXPECT_FALSE(candidate(a_));
  probe.reset();
  EXPECT_TRUE(table_.attempt(a_, 1)) << "given up, another may probe";
  table_.attempt(a_, 1)->declined();
  EXPECT_EQ(table_.find(a_)->failures, 0u) << "whoever declines is alive";
}

TEST_F(PeerTableTest, who_was_busy_is_so_for_a_while_or_until_it_gives) {
  table_.add({a_});
  const auto busy = [&] { return table_.candidates(1).front().busy; };
  EXPECT_FALSE(busy());
  table_.attempt(a_, 1)->busy();
  EXPECT_TRUE(busy());
  hands_.turn(kBusyFor);
  EXPECT_FALSE(busy());
  table_.attempt(a_, 1)->busy();
  auto gives = table_.attempt(a_, 1);
  gives->arrived(1);
  gives->done();
  EXPECT_FALSE(busy());
}

TEST_F(PeerTableTest, a_probe_that_takes_long_keeps_no_other_attempt_away) {
  fail(a_);
  hands_.turn(seconds(1));
  const auto waits_there = table_.attempt(a_, 1);
  ASSERT_TRUE(waits_there);
  hands_.turn(milliseconds(999));
  EXPECT_FALSE(candidate(a_));
  hands_.turn(milliseconds(1));
  EXPECT_TRUE(candidate(a_));
  auto news = table_.attempt(a_, 1);
  ASSERT_TRUE(news);
  EXPECT_FALSE(table_.attempt(a_, 1)) << "it is the probe now";
  news->declined();
  EXPECT_EQ(table_.find(a_)->failures, 0u);
}

TEST_F(PeerTableTest, requests_that_die_together_are_one_failure) {
  std::vector<PeerTable::Attempt> attempts;
  for (int i = 0; i < 8; ++i) attempts.push_back(*table_.attempt(a_, 1));
  EXPECT_EQ(table_.find(a_)->in_flight, 8u);
  hands_.turn(milliseconds(5));
  for (auto& attempt : attempts) attempt.failed("reset");
  EXPECT_EQ(table_.find(a_)->failures, 1u);
  EXPECT_EQ(table_.find(a_)->in_flight, 0u);
}

TEST_F(PeerTableTest, a_banned_peer_stays_banned_wherever_it_shows) {
  table_.met(a_, "liar", "");
  table_.ban(a_, "block 7 was wrong");
  EXPECT_TRUE(table_.banned("liar"));
  EXPECT_FALSE(table_.attempt(a_, 1));
  table_.met(b_, "liar", "");
  EXPECT_FALSE(candidate(b_));
  EXPECT_EQ(table_.find(b_)->banned, "block 7 was wrong");
  table_.ban_node("other liar", "its claim was wrong");
  const Endpoint c{"10.0.0.3", 1};
  table_.met(c, "other liar", "");
  EXPECT_FALSE(table_.attempt(c, 1));
  hands_.turn(std::chrono::hours(24));
  EXPECT_FALSE(candidate(a_));
}

TEST_F(PeerTableTest, who_was_banned_by_a_false_claim_is_pardoned_and_nobody_else) {
  const auto layer = util::Sha256::of(util::as_bytes("layer"));
  const auto other = util::Sha256::of(util::as_bytes("another"));
  const auto at = [](uint16_t port) { return Endpoint{"10.0.0.9", port}; };
  const std::vector<std::string> nodes{"honest", "liar", "twice", "claimant"};
  for (uint16_t i = 0; i < nodes.size(); ++i) table_.met(at(i + 1), nodes[i], "");
  for (uint16_t i = 0; i < 3; ++i) table_.ban(at(i + 1), "block 7 is wrong", layer);
  table_.ban(at(1), "block 8 is wrong", layer);
  table_.ban(at(3), "block 9 is wrong", other);
  table_.ban(at(5), "block 10 is wrong", layer);  // never met
  table_.ban(at(2), "its claim is no claim");
  table_.ban_node("claimant", "the layer has another root");
  table_.pardon(other);
  EXPECT_FALSE(candidate(at(1)));
  EXPECT_TRUE(table_.banned("twice"));
  table_.pardon(layer);
  EXPECT_FALSE(table_.banned("honest"));
  EXPECT_TRUE(candidate(at(1)));
  EXPECT_TRUE(candidate(at(5)));
  for (uint16_t i = 1; i < nodes.size(); ++i) {
    EXPECT_TRUE(table_.banned(nodes[i])) << nodes[i];
    EXPECT_FALSE(candidate(at(i + 1))) << nodes[i];
  }
}

TEST_F(PeerTableTest, another_node_at_a_known_endpoint_starts_afresh) {
  table_.met(a_, "old", "zone 1");
  answer(a_, 16'384, seconds(2), milliseconds(0));
  table_.met(a_, "new", "zone 2");
  EXPECT_EQ(table_.find(a_)->bytes_given, 0u);
  EXPECT_LT(candidate(a_)->expected, milliseconds(10));
  EXPECT_EQ(candidate(a_)->zone, "zone 2");
}

TEST_F(PeerTableTest, keeps_4096_and_lets_the_failing_ones_go_first) {
  std::vector<Endpoint> many;
  for (uint16_t port = 1; port <= 4096; ++port) many.push_back({"10.0.0.1", port});
  table_.add(many);
  table_.add({b_});
  EXPECT_FALSE(table_.find(b_)) << "nobody failed, no room";
  fail(many[77]);
  table_.add({b_});
  EXPECT_TRUE(table_.find(b_));
  EXPECT_FALSE(table_.find(many[77]));
  EXPECT_EQ(table_.list().size(), 4096u);
}

TEST_F(PeerTableTest, an_attempt_may_outlive_its_peer_and_the_table) {
  auto table = std::make_unique<PeerTable>("me", hands_);
  auto attempt = table->attempt(a_, 1);
  table.reset();
  attempt->arrived(1);
  attempt->done();
}

TEST(PeerTable, may_be_used_by_many_threads) {
  const util::SteadyClock clock;
  PeerTable table("me", clock);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const Endpoint endpoint{"10.0.0.1", static_cast<uint16_t>(1 + i % 7)};
        table.met(endpoint, "node " + std::to_string(i % 7), "");
        if (auto attempt = table.attempt(endpoint, 1)) {
          attempt->arrived(1);
          t % 2 ? attempt->done() : attempt->declined();
        }
        (void)table.candidates(1);
      }
    });
  for (auto& thread : threads) thread.join();
  for (const Peer& peer : table.list()) EXPECT_EQ(peer.in_flight, 0u);
}

}  // namespace
}  // namespace swarmfs::swarm
