// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// Peers, and caps of our own, that make a request wait.

#include <future>
#include <thread>

#include "swarm/bulk_allowance.h"
#include "swarm/busy_lines.h"
#include "swarm/download_caps.h"
#include "swarm/peer_source_fixture.h"
#include "swarm/policy.h"

namespace swarmfs::swarm {
namespace {

TEST_F(PeerSourceTest, goes_where_a_busy_peer_sends_it) {
  Peer& knows_it = peer("c", right);
  know(knows_it, "c", false);
  const auto script = [&](auto&) {
    return Peer::answer(503, "not by this node, now\n",
                        "Swarmfs-Others: " + at(knows_it).to_string() + ",,nonsense,1.2.3.4\r\n");
  };
  Peer& busy = peer("a", script);
  know(busy, "a");
  const auto got = fetch(kRange, Class::fault);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  EXPECT_EQ(got->supplier(), name_of(knows_it, "c"));
  EXPECT_NE(knows_it.asked().front().target.find("&fetch=0&"), std::string::npos);
}

TEST_F(PeerSourceTest, waits_for_the_cap_of_who_has_it_however_often_that_is_said) {
  std::atomic<int> asked_so_far{0};
  const auto script = [&](auto& asked) {
    if (asked_so_far++ < 25) return Peer::answer(503, "later\n", "Swarmfs-Wait: 50\r\n");
    return right(asked);
  };
  know(peer("a", script), "a");
  Peer& owner = peer("b", right);
  know(owner, "b", false);
  Fetch got(source_, layer_, kRange, Class::pull, {}, [] { return true; });  // nobody overtakes
  EXPECT_FALSE(got.fault());
  EXPECT_TRUE(got.bytes() == part(kRange));
  EXPECT_EQ(asked_so_far, 26);
  EXPECT_TRUE(owner.asked().empty()) << "it would cost the registry another copy";
}

TEST_F(PeerSourceTest, bulk_before_a_busy_peer_asks_again_as_soon_as_it_gives_something) {
  const ByteRange other{0, kRange.length};
  // With the pause that is the longest; without its turn it never asks sooner than that.
  constexpr unsigned kRefused = 9;
  const auto pause = *pause_when_busy(Class::pull, kRefused - 1);
  bool sooner = false;
  for (int round = 0; round < 5 && !sooner; ++round) {
    std::promise<void> refused;
    util::Sync<std::vector<util::SteadyTime>> seen;
    Peer& busy = peer("a", [&](auto& asked) {
      if (range_of(asked).offset == other.offset) {
        refused.get_future().wait();
        return right(asked);
      }
      auto asked_at = seen.lock();
      asked_at->push_back(std::chrono::steady_clock::now());
      if (asked_at->size() == kRefused) refused.set_value();
      return asked_at->size() > kRefused ? right(asked) : Peer::answer(503, "later\n");
    });
    know(busy, "a");
    const auto given = fetch(other);
    ASSERT_TRUE(busy.wait_for_requests(1));
    const auto waits = fetch(kRange);
    EXPECT_FALSE(waits->fault());
    EXPECT_FALSE(given->fault());
    EXPECT_TRUE(waits->bytes() == part(kRange));
    const auto asked_at = *seen.lock();
    ASSERT_EQ(asked_at.size(), kRefused + 1);
    sooner = asked_at[kRefused] - asked_at[kRefused - 1] < pause;
    views_.gone(at(busy));
  }
  EXPECT_TRUE(sooner);
}

TEST(BusyLines, have_who_came_first_ask_first) {
  BusyLines<int> lines;
  std::string order;
  EXPECT_FALSE(lines.next(1));
  const auto a = lines.join(1, [&] { order += "a"; });
  auto b = lines.join(1, [&] { order += "b"; });
  const auto c = lines.join(1, [&] { order += "c"; });
  const auto d = lines.join(2, [&] { order += "d"; });
  b.cancel();
  lines.next(1)();
  lines.next(1)();
  EXPECT_FALSE(lines.next(1));
  EXPECT_EQ(order, "ac");
  lines.next(2)();
  EXPECT_EQ(order, "acd");
}

TEST(BusyLines, may_be_left_when_they_are_gone) {
  auto lines = std::make_unique<BusyLines<int>>();
  const auto a = lines->join(1, [] {});
  lines.reset();
}

TEST_F(PeerSourceTest, bulk_asks_who_says_it_is_full_after_others_of_its_zone) {
  for (const char* name : {"a", "b"}) {
    for (const char* other : {"a", "b"}) know(peer(other, right), other);
    Peer& full = name == std::string("a") ? *std::prev(peers_.end(), 2) : peers_.back();
    const News said{"here", {{layer_.digest, news(true)}}, true};
    views_.heard(at(full), kRepository, {layer_.digest}, said, std::chrono::steady_clock::now());
    EXPECT_FALSE(fetch(kRange)->fault());
    EXPECT_TRUE(full.asked().empty());
    for (const auto& one : {&*std::prev(peers_.end(), 2), &peers_.back()}) views_.gone(at(*one));
  }
}

TEST_F(PeerSourceTest, a_crowd_has_what_somebody_gives_who_is_not_full) {
  Peer& holder = peer("a", [](auto&) { return Peer::answer(503, "not by this node, now\n"); });
  know(holder, "a");
  const auto now = std::chrono::steady_clock::now();
  const auto tells = [&](bool full) {
    News said{"here", {{layer_.digest, news(true)}}, full};
    said.layers.at(layer_.digest).wants = true;
    views_.heard(at(holder), kRepository, {layer_.digest}, said, now);
  };
  for (uint16_t port = 1; port <= 8; ++port)
    views_.wanted_by({"10.0.0.9", port}, layer_.digest, now);
  tells(false);
  EXPECT_TRUE(source_.has(layer_, kRange));
  tells(true);
  EXPECT_FALSE(source_.has(layer_, kRange));
  tells(false);
  EXPECT_TRUE(source_.has(layer_, kRange));
  EXPECT_TRUE(fetch_for(std::chrono::milliseconds(50))->fault());
  EXPECT_FALSE(source_.has(layer_, kRange)) << "it sent us away";
  tells(false);
  EXPECT_TRUE(source_.has(layer_, kRange));
  views_.gone({"10.0.0.9", 1});
  tells(true);
  EXPECT_TRUE(source_.has(layer_, kRange)) << "eight and fewer are no crowd";
}

TEST_F(PeerSourceTest, asks_another_holder_before_it_waits_for_a_cap) {
  std::atomic<int> refused{0};
  std::atomic<bool> one_refused{false};
  const auto script = [&](auto& asked) {
    if (one_refused.exchange(true)) return right(asked);
    ++refused;
    return Peer::answer(503, "later\n", "Swarmfs-Wait: 5000\r\n");
  };
  for (const char* name : {"a", "b"}) know(peer(name, script), name);
  const auto got = fetch(kRange);
  EXPECT_FALSE(got->fault());
  EXPECT_TRUE(got->bytes() == part(kRange));
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(peers_.front().asked().size(), 1u);
  EXPECT_EQ(peers_.back().asked().size(), 1u);
}

TEST_F(PeerSourceTest, says_that_it_was_told_to_wait_and_waits_no_longer_than_its_deadline) {
  Peer& capped =
      peer("a", [](auto&) { return Peer::answer(503, "later\n", "Swarmfs-Wait: 5000\r\n"); });
  know(capped, "a");
  const auto patient = fetch_for(std::chrono::hours(1));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!patient->told_to_wait() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(patient->told_to_wait());
  EXPECT_EQ(fetch_for(std::chrono::seconds(2))->fault(), Fault::timed_out)
      << "bulk that goes on may try again";
}

TEST_F(PeerSourceTest, goes_on_without_who_dies_after_it_made_us_wait) {
  std::atomic<int> asked_so_far{0};
  know(peer("a",
            [&](auto&) {
              if (asked_so_far++ == 0) return Peer::answer(503, "later\n", "Swarmfs-Wait: 50\r\n");
              return says("", Then::hang_up);
            }),
       "a");
  EXPECT_EQ(fetch(kRange)->fault(), Fault::unavailable);
  EXPECT_GE(asked_so_far, 2);
}

TEST_F(PeerSourceTest, bulk_before_busy_peers_ends_with_its_deadline) {
  Peer& busy = peer("a", [](auto&) { return Peer::answer(503, "later\n"); });
  know(busy, "a");
  EXPECT_EQ(fetch_for(std::chrono::seconds(1))->fault(), Fault::timed_out);
  EXPECT_GE(busy.asked().size(), 3u);
}

TEST_F(PeerSourceTest, believes_no_hearsay_of_strangers) {
  Peer& stranger = peer("stranger", right);
  Peer& busy = peer("a", [&](auto&) {
    return Peer::answer(503, "", "Swarmfs-Others: " + at(stranger).to_string() + "\r\n");
  });
  know(busy, "a");
  EXPECT_EQ(fetch(kRange, Class::fault)->fault(), Fault::unavailable);
  EXPECT_TRUE(stranger.asked().empty());
}

TEST_F(PeerSourceTest, ends_with_peers_that_send_it_to_and_fro) {
  Peer *a = nullptr, *b = nullptr;
  const auto to = [](Peer*& other) {
    return [&other](auto&) {
      return Peer::answer(503, "", "Swarmfs-Others: " + at(*other).to_string() + "\r\n");
    };
  };
  a = &peer("a", to(b));
  b = &peer("b", to(a));
  know(*a, "a");
  know(*b, "b");
  EXPECT_EQ(fetch(kRange, Class::fault)->fault(), Fault::unavailable);
  EXPECT_LE(a->asked().size() + b->asked().size(), 2u * (kMostReferrals + 1));
}

TEST_F(PeerSourceTest, takes_bulk_no_faster_than_its_own_cap_and_faults_at_once) {
  Peer& holder = peer("a", right);
  know(holder, "a");
  // A byte: what the first request overdraws is paid back in half a day.
  source_.set_download_rates(1, 0);
  EXPECT_FALSE(fetch(kRange)->fault());
  const auto patient = fetch(kRange, Class::backfill);
  EXPECT_TRUE(patient->told_to_wait());
  EXPECT_FALSE(fetch(kRange, Class::fault)->fault());
  EXPECT_EQ(holder.asked().size(), 2u) << "bulk waits";
  EXPECT_EQ(fetch_for(std::chrono::seconds(1))->fault(), Fault::timed_out)
      << "bulk that goes on may try again";
}

TEST_F(PeerSourceTest, takes_bulk_from_each_no_faster_than_its_own_cap_and_meanwhile_from_another) {
  for (const char* name : {"a", "b"}) know(peer(name, right), name);
  source_.set_download_rates(0, 1);
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(fetch(kRange)->fault());
  for (const auto& holder : peers_) EXPECT_EQ(holder.asked().size(), 1u);
  const auto patient = fetch(kRange, Class::backfill);
  EXPECT_TRUE(patient->told_to_wait());
  EXPECT_FALSE(fetch(kRange, Class::fault)->fault());
  EXPECT_EQ(fetch_for(std::chrono::seconds(1))->fault(), Fault::timed_out)
      << "bulk that goes on may try again";
  EXPECT_EQ(peers_.front().asked().size() + peers_.back().asked().size(), 3u) << "bulk waits";
}

TEST_F(PeerSourceTest, waits_for_its_own_caps) {
  know(peer("a", right), "a");
  for (const auto& [all, each] : {std::pair(kRange.length, uint64_t{0}), {0, kRange.length}}) {
    source_.set_download_rates(all, each);
    for (int i = 0; i < 3; ++i) {
      const auto got = fetch(kRange);
      EXPECT_FALSE(got->fault());
      EXPECT_TRUE(got->bytes() == part(kRange));
    }
  }
}

TEST_F(PeerSourceTest, goes_on_soon_when_its_own_cap_of_a_peer_is_lifted) {
  know(peer("a", right), "a");
  source_.set_download_rates(0, 1);
  EXPECT_FALSE(fetch(kRange)->fault());
  const auto waits = fetch(kRange);
  EXPECT_TRUE(waits->told_to_wait());
  source_.set_download_rates(0, 0);
  EXPECT_FALSE(waits->fault());
}

TEST(BulkAllowance, has_back_what_did_not_come) {
  const auto allowance = std::make_shared<BulkAllowance>(1000);
  const auto now = std::chrono::steady_clock::now();
  {
    auto booking = allowance->book(50'000, now);
    booking.came(20'000);
    EXPECT_GT(allowance->wait(now), std::chrono::seconds(40));
  }
  EXPECT_LT(allowance->wait(now), std::chrono::seconds(20));
  EXPECT_GT(allowance->wait(now), std::chrono::seconds(10));
}

void take(DownloadCaps& caps, const Endpoint& peer, uint64_t bytes, util::SteadyTime now) {
  for (auto& booking : caps.book(peer, bytes, now)) booking.came(bytes);
}

TEST(DownloadCaps, hold_for_all_together_and_for_each) {
  const Endpoint a{"10.0.0.1", 1}, b{"10.0.0.2", 1};
  const auto now = std::chrono::steady_clock::now();
  constexpr util::Duration kNone{};
  DownloadCaps caps(1000, 100);
  take(caps, a, 500, now);
  EXPECT_GT(caps.wait(a, now), std::chrono::seconds(3));
  EXPECT_EQ(caps.wait(b, now), kNone);
  EXPECT_EQ(caps.wait(now), kNone);
  {
    const auto booked = caps.book(b, 5000, now);
    EXPECT_GT(caps.wait(b, now), std::chrono::seconds(40));
    EXPECT_GT(caps.wait(now), std::chrono::seconds(4));
  }
  EXPECT_EQ(caps.wait(b, now), kNone) << "nothing of it came";
  EXPECT_EQ(caps.wait(now), kNone);
  caps.set_rates(1000, 0);
  EXPECT_EQ(caps.wait(a, now), kNone);
}

TEST(DownloadCaps, forget_many_who_are_idle) {
  const Endpoint gives{"10.0.0.1", 1};
  const auto now = std::chrono::steady_clock::now();
  DownloadCaps caps(0, 1);
  const auto booked = caps.book(gives, 100, now);
  const auto idle = [](size_t i) { return Endpoint{"10.0.0.2", static_cast<uint16_t>(i + 1)}; };
  for (size_t i = 0; i < DownloadCaps::kMostIdlePeers; ++i) take(caps, idle(i), 100, now);
  EXPECT_GT(caps.wait(idle(0), now), util::Duration());
  take(caps, idle(DownloadCaps::kMostIdlePeers), 100, now);
  EXPECT_EQ(caps.wait(idle(0), now), util::Duration());
  EXPECT_GT(caps.wait(gives, now), util::Duration());
}

}  // namespace
}  // namespace swarmfs::swarm
