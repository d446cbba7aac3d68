// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/preheat_ledger.h"

#include "daemon/foreign_orders.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace swarmfs::daemon {
namespace {

using swarm::PreheatOrder;
using State = swarm::PreheatState::State;
using util::Fault;

class LedgerClock final : public util::Clock {
 public:
  [[nodiscard]] util::SteadyTime now() const override { return now_; }
  util::SteadyTime now_{std::chrono::seconds(1000)};
};

class PreheatLedgerTest : public testing::Test {
 protected:
  struct Pull {
    std::string image;
    State state = State::running;
    bool cancelled = false;
  };

  PreheatLedgerTest() { connect(); }
  void connect() {
    ledger_.connect([this](const oci::Reference& reference, const oci::Platform& platform) {
      auto pull = pulls_.lock();
      if (throws_) throw std::runtime_error("no thread");
      pull->push_back(std::make_shared<util::Sync<Pull>>(
          Pull{reference.to_string() + " " + platform.to_string()}));
      const auto one = pull->back();
      return PreheatLedger::Pull{[one] {
                                   swarm::PreheatState made;
                                   made.state = one->lock()->state;
                                   return made;
                                 },
                                 [one] { one->lock()->cancelled = true; }};
    });
  }
  PreheatOrder order(int number, const std::string& node = "a") {
    return {node, number_of(number)};
  }
  static std::string number_of(int number) {
    std::string made = std::to_string(number);
    return std::string(PreheatOrder::kIdLength - made.size(), '0') + made;
  }
  /// The fault of what begin() answers; nothing: it was taken.
  std::optional<Fault> begin(const PreheatOrder& order, const std::string& reference,
                             const std::string& platform = "linux/amd64") {
    const auto begun = ledger_.begin(order, reference, platform);
    return begun ? std::nullopt : std::optional(begun.failure().fault);
  }
  std::optional<State> look(const PreheatOrder& order) {
    const auto state = ledger_.look(order);
    return state ? std::optional(state->state) : std::nullopt;
  }
  size_t started() { return pulls_.lock()->size(); }
  Pull pull(size_t number) { return *(*pulls_.lock())[number]->lock(); }
  void end(size_t number, State state = State::done) {
    (*pulls_.lock())[number]->lock()->state = state;
  }

  LedgerClock clock_;
  bool throws_ = false;
  util::Sync<std::vector<std::shared_ptr<util::Sync<Pull>>>> pulls_;
  PreheatLedger ledger_{clock_};
};

TEST_F(PreheatLedgerTest, an_order_is_a_pull_that_can_be_followed) {
  ASSERT_FALSE(begin(order(1), "a.test/b:1", "linux/arm64"));
  EXPECT_EQ(pull(0).image, "a.test/b:1 linux/arm64");
  EXPECT_EQ(look(order(1)), State::running);
  end(0, State::failed);
  EXPECT_EQ(look(order(1)), State::failed);
  ASSERT_FALSE(begin(order(2), "alpine", ""));
  EXPECT_EQ(pull(1).image, "docker.io/library/alpine:latest " + oci::Platform::host().to_string());
}

TEST_F(PreheatLedgerTest, what_is_ordered_twice_is_pulled_once) {
  ASSERT_FALSE(begin(order(1), "alpine"));
  ASSERT_FALSE(begin(order(1), "alpine")) << "the same order, said again";
  ASSERT_FALSE(begin(order(2, "b"), "docker.io/library/alpine:latest"));
  EXPECT_EQ(started(), 1u);
  ASSERT_FALSE(begin(order(3), "alpine", "linux/arm64"));
  EXPECT_EQ(started(), 2u) << "another platform is another image";
  end(0);
  ASSERT_FALSE(begin(order(4), "alpine"));
  EXPECT_EQ(started(), 3u) << "a tag may have moved since the first one ended";
  ASSERT_FALSE(begin(order(1), "alpine"));
  EXPECT_EQ(started(), 3u) << "but an order is no new one for that";
}

TEST_F(PreheatLedgerTest, a_pull_ends_with_its_last_order) {
  ASSERT_FALSE(begin(order(1), "alpine"));
  ASSERT_FALSE(begin(order(1, "b"), "alpine"));
  EXPECT_TRUE(ledger_.take_back(order(1)));
  EXPECT_FALSE(pull(0).cancelled);
  EXPECT_FALSE(ledger_.take_back(order(1))) << "it is gone";
  EXPECT_FALSE(look(order(1)));
  EXPECT_EQ(look(order(1, "b")), State::running);
  EXPECT_TRUE(ledger_.take_back(order(1, "b")));
  EXPECT_TRUE(pull(0).cancelled);
  ASSERT_FALSE(begin(order(5), "alpine"));
  EXPECT_EQ(started(), 2u) << "what was cancelled is not joined";
}

TEST_F(PreheatLedgerTest, an_order_that_nobody_asks_about_ends_and_its_pull_with_the_last) {
  const auto pass = [&](std::chrono::seconds time) {
    clock_.now_ += time;
    ledger_.look_over();
  };
  const auto half = PreheatLedger::kLease / 2;
  ASSERT_FALSE(begin(order(1), "alpine"));
  ASSERT_FALSE(begin(order(1, "b"), "alpine"));
  ASSERT_FALSE(begin(order(2, "b"), "other"));
  pass(half);
  EXPECT_EQ(look(order(1)), State::running);
  EXPECT_FALSE(begin(order(2, "b"), "other")) << "to say it again is to ask";
  pass(half + std::chrono::seconds(1));
  EXPECT_FALSE(look(order(1, "b"))) << "its time is over";
  EXPECT_FALSE(pull(0).cancelled) << "but not that of the other";
  EXPECT_EQ(look(order(2, "b")), State::running);
  pass(half + std::chrono::seconds(1));
  EXPECT_TRUE(pull(0).cancelled);
  EXPECT_FALSE(pull(1).cancelled);
  EXPECT_FALSE(look(order(1)));
  end(0, State::failed);
  ASSERT_FALSE(begin(order(1), "alpine"));
  EXPECT_EQ(started(), 3u) << "who comes back orders anew";
}

TEST_F(PreheatLedgerTest, what_has_ended_needs_nobody_who_asks) {
  ASSERT_FALSE(begin(order(1), "alpine"));
  end(0);
  ledger_.look_over();
  clock_.now_ += 2 * PreheatLedger::kLease;
  ledger_.look_over();
  EXPECT_FALSE(pull(0).cancelled);
  EXPECT_EQ(look(order(1)), State::done);
}

TEST(OrderAllowance, has_a_burst_and_then_one_at_a_time) {
  const util::SteadyTime start{std::chrono::seconds(1000)};
  OrderAllowance allowance;
  for (int i = 0; i < OrderAllowance::kBurst; ++i) {
    ASSERT_TRUE(allowance.open("a", start)) << i;
    allowance.take("a", start);
  }
  const std::tuple<const char*, std::chrono::milliseconds, bool> table[] = {
      {"a", std::chrono::milliseconds(0), false},
      {"b", std::chrono::milliseconds(0), true},
      {"a", OrderAllowance::kRefill - std::chrono::milliseconds(1), false},
      {"a", OrderAllowance::kRefill, true},
  };
  for (const auto& [node, later, open] : table)
    EXPECT_EQ(allowance.open(node, start + later), open) << node << " " << later.count();
  allowance.take("a", start + OrderAllowance::kRefill);
  EXPECT_FALSE(allowance.open("a", start + OrderAllowance::kRefill));
  const auto rested = start + std::chrono::hours(1);
  for (int i = 0; i < OrderAllowance::kBurst; ++i) allowance.take("b", rested);
  EXPECT_EQ(allowance.size(), 1u) << "who has all of it again is forgotten";
  EXPECT_FALSE(allowance.open("b", rested)) << "a rest saves no more than the burst";
}

TEST_F(PreheatLedgerTest, tells_only_who_ordered) {
  ASSERT_FALSE(begin(order(1), "alpine"));
  EXPECT_FALSE(look(order(1, "b")));
  EXPECT_FALSE(look(order(2)));
  EXPECT_EQ(ledger_.take_back(order(1, "b")).failure().fault, Fault::not_found);
  EXPECT_FALSE(pull(0).cancelled);
}

TEST_F(PreheatLedgerTest, two_run_at_once_and_a_third_is_told_so) {
  ASSERT_FALSE(begin(order(1), "one"));
  ASSERT_FALSE(begin(order(2), "two"));
  const auto busy = ledger_.begin(order(3), "three", "");
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.failure().fault, Fault::unavailable);
  EXPECT_EQ(busy.failure().message, "busy: it preheats 2 other images; try later");
  EXPECT_FALSE(begin(order(4), "two")) << "who joins is welcome";
  end(0);
  EXPECT_FALSE(begin(order(3), "three"));
  EXPECT_EQ(started(), 3u);
  EXPECT_TRUE(ledger_.take_back(order(2)));
  EXPECT_TRUE(ledger_.take_back(order(4)));
  EXPECT_EQ(begin(order(5), "four"), Fault::unavailable) << "cancelled, but it has not ended";
}

TEST_F(PreheatLedgerTest, remembers_eight_and_not_for_long) {
  for (int i = 0; i < 9; ++i) {
    ASSERT_FALSE(begin(order(i), "image" + std::to_string(i)));
    end(static_cast<size_t>(i));
  }
  EXPECT_FALSE(look(order(0))) << "the oldest went";
  EXPECT_EQ(look(order(1)), State::done);
  clock_.now_ += PreheatLedger::kRemembered - std::chrono::seconds(1);
  EXPECT_EQ(look(order(8)), State::done);
  clock_.now_ += std::chrono::seconds(2);
  EXPECT_FALSE(look(order(8)));
}

TEST_F(PreheatLedgerTest, one_pull_has_so_many_orders) {
  for (int i = 0; i < static_cast<int>(PreheatLedger::kMostOrders); ++i)
    ASSERT_FALSE(begin(order(i), "alpine")) << i;
  EXPECT_EQ(begin(order(1000), "alpine"), Fault::unavailable);
  EXPECT_EQ(started(), 1u);
}

TEST_F(PreheatLedgerTest, refuses_what_is_no_image) {
  for (const char* reference : {"", "UPPER/case", "a b", "http://a/b", "a@sha256:12"})
    EXPECT_EQ(begin(order(1), reference), Fault::invalid) << reference;
  EXPECT_EQ(begin(order(1), "alpine", "linux"), Fault::invalid);
  EXPECT_EQ(started(), 0u);
}

TEST_F(PreheatLedgerTest, a_pull_that_cannot_start_has_failed) {
  throws_ = true;
  ASSERT_FALSE(begin(order(1), "alpine"));
  const auto state = ledger_.look(order(1));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->state, State::failed);
  EXPECT_EQ(state->error, "no thread");
}

TEST_F(PreheatLedgerTest, has_nothing_before_and_after) {
  ASSERT_FALSE(begin(order(1), "alpine"));
  ledger_.disconnect();
  EXPECT_EQ(begin(order(2), "alpine"), Fault::unavailable);
  EXPECT_FALSE(look(order(1)));
  EXPECT_EQ((*pulls_.lock())[0].use_count(), 1) << "nothing holds the pull any more";
}

TEST_F(PreheatLedgerTest, is_for_any_thread) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([this, i] {
      const std::string node = "n" + std::to_string(i);
      for (int round = 0; round < 200; ++round) {
        const auto begun = ledger_.begin(order(round, node), "alpine", "");
        EXPECT_TRUE(begun || begun.failure().fault == Fault::unavailable);
        if (!begun) continue;
        EXPECT_EQ(look(order(round, node)), State::running);
        EXPECT_TRUE(ledger_.take_back(order(round, node)));
      }
    });
  for (int i = 0; i < 50; ++i)
    for (size_t number = 0; number < started(); ++number)
      if (pull(number).cancelled) end(number);
  for (auto& one : threads) one.join();
  for (size_t number = 0; number < started(); ++number) EXPECT_TRUE(pull(number).cancelled);
}

TEST_F(PreheatLedgerTest, members_order_only_of_registries_that_are_named) {
  ForeignOrders orders({"reg.example.com:5000", "docker.io"}, ledger_, clock_);
  const auto fault = [&](int number, const std::string& reference) {
    const auto begun = orders.begin(order(number), reference, "linux/amd64");
    return begun ? std::nullopt : std::optional(begun.failure().fault);
  };
  EXPECT_EQ(fault(1, "evil.example.com/app:v1"), Fault::denied);
  EXPECT_EQ(fault(2, "reg.example.com/app:v1"), Fault::denied) << "another port";
  EXPECT_EQ(fault(3, "no reference"), Fault::invalid);
  EXPECT_TRUE(pulls_.lock()->empty());
  EXPECT_EQ(fault(4, "reg.example.com:5000/app:v1"), std::nullopt);
  EXPECT_EQ(fault(5, "nginx"), std::nullopt) << "of docker.io";
  EXPECT_EQ(pulls_.lock()->size(), 2u);
  EXPECT_TRUE(orders.look(order(4)));
  EXPECT_TRUE(orders.take_back(order(4)));
}

TEST_F(PreheatLedgerTest, members_order_only_so_often) {
  ForeignOrders orders({"docker.io"}, ledger_, clock_);
  const auto taken = [&](const PreheatOrder& order) {
    return static_cast<bool>(orders.begin(order, "nginx", "linux/amd64"));
  };
  for (int i = 0; i < OrderAllowance::kBurst; ++i)
    for (int again = 0; again < 3; ++again) EXPECT_TRUE(taken(order(i))) << "the same order";
  EXPECT_FALSE(taken(order(100)));
  EXPECT_TRUE(taken(order(0)));
  EXPECT_TRUE(taken(order(100, "b")));
  clock_.now_ += OrderAllowance::kRefill;
  EXPECT_TRUE(taken(order(100)));
  EXPECT_EQ(started(), 1u);
}

}  // namespace
}  // namespace swarmfs::daemon
