// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/serving.h"

#include <gtest/gtest.h>

namespace swarmfs::swarm {
namespace {

using chunk::Class;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ServingTest : public testing::Test {
 protected:
  /// Whether it is let in, and out again.
  bool gives(Serving& serving, const Serving::Request& request) {
    const auto entry = serving.enter(request, now_);
    if (!entry.number) return false;
    serving.spend(request, now_);
    serving.leave(request, *entry.number);
    return true;
  }
  util::SteadyTime now_ = std::chrono::steady_clock::now();
};

TEST_F(ServingTest, gives_each_peer_bulk_no_faster_than_its_cap) {
  ServeLimits limits;
  limits.bulk_rate_per_peer = 1000;
  Serving serving(limits);
  EXPECT_TRUE(gives(serving, {"a", Class::pull, 3000}));
  const auto refused = serving.enter({"a", Class::backfill, 10}, now_);
  EXPECT_FALSE(refused.number);
  EXPECT_GE(refused.wait, milliseconds(2000));
  EXPECT_LE(refused.wait, milliseconds(2002));
  EXPECT_TRUE(gives(serving, {"a", Class::fault, 3000}));
  EXPECT_TRUE(gives(serving, {"b", Class::pull, 3000}));
  now_ += milliseconds(2010);
  EXPECT_TRUE(gives(serving, {"a", Class::pull, 10}));
}

TEST_F(ServingTest, says_how_long_the_stricter_cap_lasts) {
  ServeLimits limits;
  limits.bulk_rate = 100;
  limits.bulk_rate_per_peer = 50;
  Serving serving(limits);
  EXPECT_TRUE(gives(serving, {"a", Class::pull, 200}));
  EXPECT_GT(serving.enter({"a", Class::pull, 1}, now_).wait, seconds(3));
  const auto of_all = serving.enter({"b", Class::pull, 1}, now_).wait;
  EXPECT_GT(of_all, seconds(1));
  EXPECT_LT(of_all, milliseconds(1100));
  serving.give_back({"a", Class::pull, 200}, now_);
  EXPECT_TRUE(gives(serving, {"a", Class::pull, 1}));
}

TEST_F(ServingTest, takes_over_new_limits_for_peers_that_it_knows) {
  Serving serving({});
  const Serving::Request request{"a", Class::pull, 1000};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gives(serving, request));
  ServeLimits limits;
  limits.bulk_rate_per_peer = 1;
  serving.set_limits(limits);
  // What set_limits() calls now is the real one's.
  now_ = std::chrono::steady_clock::now() + milliseconds(1);
  EXPECT_TRUE(gives(serving, request));
  EXPECT_FALSE(gives(serving, request));
  serving.set_limits({});
  EXPECT_TRUE(gives(serving, request));
}

TEST_F(ServingTest, keeps_nobody_waiting_for_who_takes_bulk_slowly) {
  Serving serving({});  // and two MiB on their way at most, as nothing is known of the link
  const Serving::Request slow{"slow", Class::pull, 1 << 20, true};
  const Serving::Request other{"other", Class::pull, 1 << 20, true};
  const auto first = serving.enter(slow, now_), second = serving.enter(slow, now_);
  ASSERT_TRUE(first.number && second.number);
  EXPECT_FALSE(serving.enter(slow, now_).number);
  ASSERT_TRUE(serving.enter(other, now_).number) << "half a MiB of the slow one's counts";
  EXPECT_FALSE(serving.enter(other, now_).number);
  serving.leave(slow, *first.number);
  serving.leave(slow, *second.number);
  EXPECT_TRUE(serving.enter(other, now_).number);
}

TEST_F(ServingTest, never_forgets_who_is_busy) {
  ServeLimits limits;
  limits.per_peer = 1;
  Serving serving(limits);
  const Serving::Request busy{"busy", Class::pull, 1};
  const auto entry = serving.enter(busy, now_);
  ASSERT_TRUE(entry.number);
  for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(gives(serving, {std::to_string(i), Class::pull, 1}));
  EXPECT_FALSE(gives(serving, busy)) << "its request is under way";
  serving.leave(busy, *entry.number);
  EXPECT_TRUE(gives(serving, busy));
}

TEST_F(ServingTest, keeps_a_read_until_its_request_leaves) {
  Serving serving({});
  int ended = 0;
  const auto read = [&] { return util::Operation([&] { ++ended; }); };
  const Serving::Request request{"a", Class::pull, 1};
  const auto first = *serving.enter(request, now_).number;
  serving.keep(first, read());
  EXPECT_EQ(ended, 0);
  serving.leave(request, first);
  EXPECT_EQ(ended, 1);
  const auto quick = *serving.enter(request, now_).number;
  serving.leave(request, quick);
  serving.keep(quick, read());
  EXPECT_EQ(ended, 2) << "it had left before";
  serving.keep(*serving.enter(request, now_).number, read());
  serving.stop();
  EXPECT_EQ(ended, 3);
  EXPECT_FALSE(serving.enter(request, now_).number);
}

TEST_F(ServingTest, counts_bulk_that_is_here_until_it_is_sent) {
  ServeLimits limits;
  limits.bulk_unsent = 1000;
  const auto serving = std::make_shared<Serving>(limits);
  const Serving::Request request{"a", Class::pull, 600, true};
  const auto first = *serving->enter(request, now_).number;
  EXPECT_TRUE(serving->sends(request, first, false, now_));
  auto bytes = until_sent(serving, request, first, util::SharedBytes::of(util::Bytes(600)));
  EXPECT_EQ(bytes.size(), 600u);
  EXPECT_FALSE(gives(*serving, request));
  EXPECT_TRUE(gives(*serving, {"a", Class::fault, 600, true}));
  EXPECT_TRUE(gives(*serving, {"a", Class::pull, 400, true}));
  EXPECT_TRUE(gives(*serving, {"a", Class::pull, 600})) << "the registry is slower";
  auto rest = bytes.slice(500, 100);
  bytes = {};
  EXPECT_FALSE(gives(*serving, request)) << "some of it is not sent yet";
  rest = {};
  EXPECT_TRUE(gives(*serving, request));
}

TEST_F(ServingTest, is_full_while_no_chunk_of_bulk_has_room) {
  ServeLimits limits;
  limits.bulk_unsent = 2 << 20;
  Serving serving(limits);
  const Serving::Request bulk{"a", Class::pull, 1 << 20, true};
  const Serving::Request other{"b", Class::pull, 1 << 20, true};
  const Serving::Request third{"c", Class::pull, 1 << 20, true};
  const Serving::Request fault{"a", Class::fault, 4 << 20, true};
  const auto urgent = *serving.enter(fault, now_).number;
  EXPECT_FALSE(serving.is_full(now_)) << "bulk goes beside it";
  const auto number = *serving.enter(bulk, now_).number;
  ASSERT_TRUE(serving.enter(other, now_).number && serving.enter(third, now_).number);
  EXPECT_TRUE(serving.is_full(now_));
  serving.leave(bulk, number);
  EXPECT_FALSE(serving.is_full(now_));
  serving.leave(fault, urgent);
}

TEST_F(ServingTest, sends_what_was_waited_for_only_if_there_is_room_by_then) {
  ServeLimits limits;
  limits.bulk_unsent = 1000;
  Serving serving(limits);
  const Serving::Request waits{"a", Class::pull, 600}, fault{"a", Class::fault, 600};
  const auto first = *serving.enter(waits, now_).number;
  const auto second = *serving.enter(waits, now_).number;
  const auto third = *serving.enter(fault, now_).number;
  EXPECT_TRUE(serving.sends(waits, first, false, now_));
  EXPECT_FALSE(serving.sends(waits, second, false, now_));
  EXPECT_TRUE(serving.sends(fault, third, false, now_));
  EXPECT_TRUE(serving.sends(waits, second, true, now_)) << "nobody else has it";
  serving.leave(waits, second);
  serving.leave(waits, first);
  EXPECT_TRUE(serving.sends(waits, *serving.enter(waits, now_).number, false, now_));
}

TEST_F(ServingTest, counts_bulk_that_it_had_to_get_from_when_it_is_read) {
  ServeLimits limits;
  limits.bulk_unsent = 1000;
  Serving serving(limits);
  const Serving::Request relayed{"a", Class::pull, 600}, other{"a", Class::pull, 600, true};
  const auto number = *serving.enter(relayed, now_).number;
  EXPECT_TRUE(gives(serving, other));
  EXPECT_TRUE(serving.sends(relayed, number, false, now_));
  EXPECT_FALSE(gives(serving, other));
  serving.leave(relayed, number);
  EXPECT_TRUE(gives(serving, other));
}

}  // namespace
}  // namespace swarmfs::swarm
