// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/bulk_turns.h"

#include <gtest/gtest.h>

#include <deque>

namespace swarmfs::http {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using Connections = std::vector<BulkTurns::Connection>;

constexpr util::SteadyTime kStart = util::SteadyTime() + std::chrono::hours(1);

/// After ten seconds of round trips of `trip`, of which `least` is no queue.
BulkWindow window_after(util::Duration trip, util::Duration least, bool full = true) {
  BulkWindow window;
  for (auto now = kStart; now < kStart + std::chrono::seconds(10); now += microseconds(500))
    window.note({trip, least}, full, now);
  return window;
}

TEST(BulkWindow, follows_the_delay) {
  constexpr size_t kLeast = (64 << 10) + 10'000, kFirst = 1 << 20, kMost = 16 << 20;
  struct Case {
    const char* what;
    util::Duration trip, least;
    bool full;
    size_t bytes;
  };
  const Case cases[] = {
      {"no queue", microseconds(200), microseconds(150), true, kMost},
      {"no queue, and no more to send", microseconds(200), microseconds(150), false, kFirst},
      {"a long queue", milliseconds(50), milliseconds(1), true, kLeast},
      {"just the queue that may be", milliseconds(2), milliseconds(1), true, kFirst},
      {"a long way without a queue", milliseconds(50), milliseconds(50), true, kMost},
      {"a long way that jitters", milliseconds(58), milliseconds(50), true, kMost},
      {"a long way with a queue", milliseconds(110), milliseconds(50), true, (64 << 10) + 500'000},
      {"nothing measured", util::Duration(), util::Duration(), true, kMost},
  };
  for (const auto& [what, trip, least, full, bytes] : cases)
    EXPECT_EQ(window_after(trip, least, full).bytes(), bytes) << what;
}

TEST(BulkWindow, is_wide_on_loopback) {
  BulkWindow window;
  for (int i = 0; i < 100; ++i)
    window.note({milliseconds(50), util::Duration(), 65'483}, true, kStart + milliseconds(60) * i);
  EXPECT_EQ(window.bytes(), 16U << 20);
}

TEST(BulkWindow, fills_a_link_and_no_queue) {
  // 1 Gbit/s, 0.2 ms, nobody else: what is more than fits the way waits.
  BulkWindow window;
  const double rate = 125e6;
  const auto least = microseconds(200);
  auto now = kStart;
  for (int i = 0; i < 1000; ++i) {
    const auto trip = std::max<util::Duration>(
        least, std::chrono::nanoseconds(static_cast<int64_t>(1e9 * window.bytes() / rate)));
    window.note({trip, least}, true, now += trip);
  }
  EXPECT_GE(static_cast<double>(window.bytes()), rate * 0.0005);
  EXPECT_LE(static_cast<double>(window.bytes()), rate * 0.0015);
}

TEST(BulkWindow, counts_once_in_a_round_trip) {
  BulkWindow window;
  for (int i = 0; i < 100; ++i)
    window.note({milliseconds(50), milliseconds(1)}, true, kStart + microseconds(100) * i);
  EXPECT_EQ(window.bytes(), 512U << 10);
}

TEST(BulkWindow, knows_the_way_from_older_connections) {
  BulkWindow window;
  window.note({milliseconds(1), microseconds(100)}, true, kStart);
  for (int i = 1; i < 100; ++i)
    window.note({milliseconds(9), milliseconds(8)}, true, kStart + milliseconds(10) * i);
  EXPECT_EQ(window.bytes(), (64U << 10) + 1'000);
  // Two minutes later it is believed that the way is longer.
  for (int i = 0; i < 300; ++i)
    window.note({milliseconds(9), milliseconds(8)}, true, kStart + std::chrono::seconds(i));
  EXPECT_GT(window.bytes(), 1U << 20);
}

TEST(BulkWindow, goes_over_as_many_connections_as_hold_it) {
  EXPECT_EQ(window_after(milliseconds(50), microseconds(1)).connections(), 1U);
  EXPECT_EQ(window_after(milliseconds(50), microseconds(1)).share(), (64U << 10) + 10);
  EXPECT_EQ(BulkWindow().connections(), 4U);
  EXPECT_EQ(BulkWindow().share(), 256U << 10);
  EXPECT_EQ(window_after(milliseconds(1), milliseconds(1)).connections(), 64U);
}

class BulkTurnsTest : public testing::Test {
 protected:
  static BulkTurns::Connection connection(uint64_t id) {
    return {static_cast<unsigned>(id % 2), id};
  }
  void enter(const std::string& client, uint64_t from, uint64_t to) {
    for (; from <= to; ++from) turns_.enter(client, connection(from));
  }
  bool may(uint64_t id) { return turns_.may_write(connection(id), now_).has_value(); }
  std::vector<uint64_t> ready() {
    std::vector<uint64_t> ids;
    for (const auto& one : turns_.ready(now_)) ids.push_back(one.id);
    return ids;
  }
  /// The client's window is for one connection from then on.
  void congest(uint64_t writing) {
    for (int i = 0; i < 10; ++i) {
      now_ += milliseconds(60);
      turns_.wrote(connection(writing), {milliseconds(60), milliseconds(1)}, now_);
    }
  }

  using Ids = std::vector<uint64_t>;
  util::SteadyTime now_ = kStart;
  UrgentAnswers urgent_;
  BulkTurns turns_{urgent_};
};

TEST_F(BulkTurnsTest, go_to_who_came_first) {
  enter("a", 1, 6);
  for (uint64_t id = 1; id <= 6; ++id) EXPECT_EQ(may(id), id <= 4) << id;
  EXPECT_TRUE(turns_.anybody_waits());
  EXPECT_EQ(ready(), Ids());
  turns_.leave(connection(3));
  EXPECT_EQ(ready(), Ids{5});
  EXPECT_EQ(ready(), Ids());  // it was told
  EXPECT_TRUE(may(5));
  EXPECT_FALSE(may(6));
  turns_.leave(connection(1));
  turns_.leave(connection(2));
  EXPECT_EQ(ready(), Ids{6});
  EXPECT_FALSE(turns_.anybody_waits());
}

TEST_F(BulkTurnsTest, are_each_clients_own) {
  enter("a", 1, 5);
  enter("b", 6, 6);
  EXPECT_FALSE(may(5));
  EXPECT_TRUE(may(6));
}

TEST_F(BulkTurnsTest, are_fewer_where_there_is_a_queue_and_what_may_be_sent_is_less) {
  enter("a", 1, 3);
  EXPECT_EQ(turns_.may_write(connection(1), now_)->share, 256U << 10);
  congest(1);
  EXPECT_EQ(turns_.may_write(connection(1), now_)->share, (64U << 10) + 10'000);
  EXPECT_EQ(turns_.may_write(connection(1), now_)->most, SIZE_MAX);
  EXPECT_FALSE(may(2));
  turns_.leave(connection(1));
  EXPECT_EQ(ready(), Ids{2});
  EXPECT_TRUE(may(2));
}

TEST_F(BulkTurnsTest, know_a_client_again) {
  enter("a", 1, 1);
  EXPECT_TRUE(may(1));
  congest(1);
  turns_.leave(connection(1));
  enter("a", 2, 3);
  EXPECT_TRUE(may(2));
  EXPECT_FALSE(may(3));
}

TEST_F(BulkTurnsTest, pass_by_a_connection_that_takes_nothing) {
  enter("a", 1, 3);
  EXPECT_TRUE(may(1));
  congest(1);
  EXPECT_TRUE(may(1));
  EXPECT_FALSE(may(2));
  EXPECT_FALSE(may(3));
  now_ += milliseconds(239);
  EXPECT_EQ(ready(), Ids());
  now_ += milliseconds(1);
  EXPECT_EQ(ready(), Ids{2});
  EXPECT_TRUE(may(2));
  now_ += milliseconds(239);
  turns_.wrote(connection(2), {milliseconds(60), milliseconds(1)}, now_);
  EXPECT_EQ(ready(), Ids());
  EXPECT_TRUE(may(1));
}

TEST_F(BulkTurnsTest, wait_for_urgent_answers_but_not_for_ever) {
  enter("a", 1, 2);
  EXPECT_TRUE(may(1));
  const auto one = urgent_.begin(now_), other = urgent_.begin(now_ + milliseconds(5));
  EXPECT_FALSE(may(1));
  EXPECT_FALSE(may(2));
  EXPECT_EQ(ready(), Ids());
  EXPECT_FALSE(urgent_.end(one, now_));
  EXPECT_EQ(ready(), Ids());
  EXPECT_TRUE(urgent_.end(other, now_ += milliseconds(8)));
  EXPECT_EQ(ready(), (Ids{1, 2}));

  now_ += milliseconds(2);
  const auto stuck = urgent_.begin(now_);
  EXPECT_FALSE(may(1));
  EXPECT_EQ(urgent_.until(), now_ + milliseconds(20));
  now_ = urgent_.until();
  EXPECT_EQ(ready(), Ids{1});
  now_ += milliseconds(4);
  const auto next = urgent_.begin(now_);  // has a hold of its own, soon
  EXPECT_TRUE(may(1));
  now_ += milliseconds(1);
  EXPECT_FALSE(may(1));
  EXPECT_TRUE(urgent_.end(next, now_ += milliseconds(1))) << "beside the one that is stuck";
  EXPECT_EQ(ready(), Ids{1});
  EXPECT_FALSE(urgent_.end(stuck, now_));
  urgent_.begin(now_ += milliseconds(1));
  EXPECT_FALSE(may(1));
}

TEST_F(BulkTurnsTest, let_a_little_out_of_what_waits_for_long) {
  enter("a", 1, 3);
  EXPECT_TRUE(may(1));
  congest(1);
  EXPECT_FALSE(may(2));
  EXPECT_FALSE(may(3));
  for (int i = 0; i < 3; ++i) {
    now_ += milliseconds(699);
    turns_.wrote(connection(1), {milliseconds(60), milliseconds(1)}, now_);
    EXPECT_EQ(ready(), Ids());
    now_ += milliseconds(1);
    for (const uint64_t id : {2, 3}) {
      EXPECT_EQ(ready(), Ids{id}) << "one by one";
      EXPECT_EQ(turns_.may_write(connection(id), now_)->most, 16U << 10);
      EXPECT_FALSE(may(id));
    }
    EXPECT_EQ(ready(), Ids());
    EXPECT_TRUE(may(1));
  }
}

TEST_F(BulkTurnsTest, keep_their_little_over_a_hold) {
  enter("a", 1, 2);
  EXPECT_TRUE(may(1));
  congest(1);
  EXPECT_FALSE(may(2));
  now_ += milliseconds(700);
  turns_.wrote(connection(1), {milliseconds(60), milliseconds(1)}, now_);
  EXPECT_EQ(ready(), Ids{2});
  const auto urgent = urgent_.begin(now_);
  EXPECT_FALSE(may(2));
  urgent_.end(urgent, now_ += milliseconds(1));
  EXPECT_EQ(ready(), Ids{2}) << "it waits no second time";
  EXPECT_TRUE(may(2));
  EXPECT_FALSE(may(2));
  EXPECT_EQ(ready(), Ids());
}

TEST(UrgentAnswers, hold_bulk_each_time_for_a_reader_that_asks_again_at_once) {
  UrgentAnswers urgent;
  auto now = kStart;
  for (int i = 0; i < 10; ++i, now += milliseconds(1)) {
    const auto hold = urgent.begin(now);
    now += milliseconds(6);
    EXPECT_TRUE(urgent.hold_bulk(now)) << i;
    urgent.end(hold, now);
    EXPECT_FALSE(urgent.hold_bulk(now));
  }
  urgent.end(urgent.begin(now), now);  // before its hold began
  EXPECT_FALSE(urgent.hold_bulk(now + milliseconds(5)));
}

TEST(UrgentAnswers, leave_bulk_a_fifth_of_the_time) {
  UrgentAnswers urgent;
  int held = 0;
  std::deque<UrgentAnswers::Hold> open;
  for (int ms = 0; ms < 10'000; ++ms) {
    const auto now = kStart + milliseconds(ms);
    open.push_back(urgent.begin(now));
    if (open.size() > 3) {
      urgent.end(open.front(), now);
      open.pop_front();
    }
    held += urgent.hold_bulk(now);
  }
  EXPECT_GE(held, 7'500);
  EXPECT_LE(held, 8'100);
}

TEST_F(BulkTurnsTest, forget_who_is_gone) {
  enter("a", 1, 5);
  EXPECT_FALSE(may(5));
  turns_.leave(connection(5));
  turns_.leave(connection(5));
  turns_.leave(connection(9));
  EXPECT_FALSE(turns_.anybody_waits());
  for (uint64_t client = 100; client < 1000; ++client) {
    enter(std::to_string(client), client, client);
    EXPECT_TRUE(may(client));
    turns_.leave(connection(client));
  }
  EXPECT_TRUE(may(1));
}

}  // namespace
}  // namespace swarmfs::http
