// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <atomic>

#include "fetch/bulk_order.h"
#include "fetch/inflow.h"
#include "fetch_fixture.h"

namespace swarmfs::fetch {
namespace {

using chunk::Class;
using chunk::Plan;
using std::chrono::milliseconds;
using util::Fault;
using util::Outcome;

constexpr uint64_t kChunk = 256 * 1024;
constexpr uint64_t kMiB = 1 << 20;

/// Whom the fetcher asks, in which order and for how much.
class SourcesTest : public FetchTest {
 protected:
  /// The third MiB is ours, the others are a peer's that has nothing yet.
  void start_with_share() {
    start_with_peer({.request_size = kMiB, .pull_transfers = 4});
    peer_.set_has([](util::ByteRange) { return false; });
    peer_.set_planner([](util::ByteRange range) -> std::optional<Plan> {
      if (range.offset / kMiB == 2) return std::nullopt;
      return Plan{std::min(kMiB, range.length)};
    });
  }
};

TEST_F(SourcesTest, the_first_source_that_can_is_asked) {
  start_with_peer();
  auto one = read({0, 100});
  EXPECT_EQ(peer_.requests(), 1u);
  EXPECT_EQ(source_.requests(), 0u);
  peer_.answer_all();
  expect_bytes(one, {0, 100});
  peer_.set_plan(std::nullopt);
  auto two = read({kChunk, 100});
  EXPECT_EQ(peer_.requests(), 1u);
  source_.answer_all();
  expect_bytes(two, {kChunk, 100});
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), 65'536u);
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), 65'536u);
}

TEST_F(SourcesTest, a_plan_cuts_a_read_into_requests) {
  start_with_peer();
  peer_.set_plan(Plan{kChunk});
  auto one = read({0, 1 << 20}, Class::pull);
  ASSERT_EQ(peer_.requests(), 4u);
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(peer_.asked(i), (util::ByteRange{i * kChunk, kChunk}));
  for (const size_t id : {2, 0, 3, 1}) peer_.answer(id, UINT64_MAX);
  expect_bytes(one, {0, 1 << 20});
}

TEST_F(SourcesTest, a_plan_is_rounded_to_whole_blocks) {
  const struct {
    uint64_t plan, asked;
  } table[] = {{1, 16'384}, {16'384, 16'384}, {40'000, 32'768}, {UINT64_MAX, 65'536}};
  start_with_peer();
  uint64_t at = 0;
  for (const auto& row : table) {
    peer_.set_plan(Plan{row.plan});
    const auto id = peer_.requests();
    const auto one = read({at, 10});
    EXPECT_EQ(peer_.asked(id).length, row.asked);
    at += kChunk;
  }
  peer_.set_plan(Plan{UINT64_MAX});
  auto last = read({kSize - 10, 10});
  peer_.answer(peer_.requests() - 1, UINT64_MAX);
  expect_bytes(last, {kSize - 10, 10});
}

TEST_F(SourcesTest, read_ahead_is_cut_as_well) {
  start_with_peer();
  peer_.set_plan(Plan{kChunk});
  for (uint64_t at = 0; at < 2 << 20; at += 65'536) {
    auto one = read({at, 65'536});
    peer_.answer_all();
    expect_bytes(one, {at, 65'536});
  }
  EXPECT_EQ(peer_.requests(), 20u);  // 15 of 64 KiB, then 64 KiB and 1 MiB ahead in 5
}

TEST_F(SourcesTest, a_failure_is_the_next_source_s_turn_from_the_last_whole_block) {
  start_with_peer();
  auto one = read({0, 65'536});
  peer_.answer(0, 20'000);
  peer_.fail(0, {Fault::unavailable, "gone"});
  ASSERT_EQ(source_.requests(), 1u);
  EXPECT_EQ(source_.asked(0), (util::ByteRange{16'384, 65'536 - 16'384}));
  source_.answer_all();
  expect_bytes(one, {0, 65'536});
  EXPECT_TRUE(peer_.blamed().empty());
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), 16'384u);
}

TEST_F(SourcesTest, a_source_that_could_not_before_is_asked_when_the_others_failed) {
  start_with_peer();
  peer_.set_plan(std::nullopt);
  auto one = read({0, 65'536});
  peer_.set_plan(Plan{16'384});
  source_.fail(0, {Fault::unavailable, "the registry is down"});
  for (int i = 0; i < 4; ++i) peer_.answer_all();
  expect_bytes(one, {0, 65'536});
  EXPECT_EQ(peer_.requests(), 4u);
  EXPECT_EQ(source_.requests(), 1u);
}

TEST_F(SourcesTest, when_all_fail_the_last_failure_is_told) {
  start_with_peer();
  auto one = read({0, 10});
  peer_.fail(0, {Fault::unavailable, "gone"});
  source_.fail(0, {Fault::denied, "no"});
  expect_fault(one, Fault::denied);
}

TEST_F(SourcesTest, where_nobody_can_supply_it_the_read_fails_at_once) {
  start_with_peer();
  peer_.set_plan(std::nullopt);
  source_.set_plan(std::nullopt);
  auto one = read({0, 10});
  expect_fault(one, Fault::unavailable);
}

TEST_F(SourcesTest, a_body_that_is_not_what_was_asked_for_is_made_good_by_the_next_source) {
  start_with_peer();
  const std::string flipped = std::string(65'536, 'x');
  const struct {
    const char* body;
    std::string bytes;
    bool blamed;
  } table[] = {{"short", content_.substr(0, 30'000), false},
               {"empty", "", false},
               {"endless", content_.substr(0, 65'537), true},
               {"endless and a lie", content_.substr(0, 65'536) + flipped, true}};
  size_t id = 0, blamed = 0;
  layer_->seal(tree());
  for (const auto& row : table) {
    SCOPED_TRACE(row.body);
    const util::ByteRange range{id * kChunk, 65'536};
    auto one = read(range);
    std::string bytes = row.bytes;
    const auto right = std::min<size_t>(bytes.size(), 65'536);
    bytes.replace(0, right, content_.substr(range.offset, right));
    if (!bytes.empty()) peer_.say(id, bytes);
    peer_.finish(id, util::Done{});
    source_.answer_all();
    expect_bytes(one, range);
    EXPECT_EQ(peer_.blamed().size(), blamed += row.blamed ? 1 : 0);
    EXPECT_EQ(peer_.open(), 0u);
    ++id;
  }
}

TEST_F(SourcesTest, a_silent_source_is_overtaken_and_dropped) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  auto one = read({0, 65'536});
  await([&] { return source_.requests() == 1; });
  EXPECT_EQ(peer_.open(), 1u);
  source_.answer(0, 16'384);
  EXPECT_EQ(peer_.open(), 0u);
  source_.answer_all();
  expect_bytes(one, {0, 65'536});
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), 65'536u);
}

TEST_F(SourcesTest, a_silent_source_is_overtaken_by_one_that_could_not_before) {
  start_with_peer();
  source_.set_plan(Plan{UINT64_MAX, milliseconds(10)});
  peer_.set_plan(std::nullopt);
  auto one = read({0, 65'536});
  EXPECT_EQ(source_.requests(), 1u);
  const auto looks = [&] { return peer_.planned_for().size(); };
  const size_t first = looks();
  await([&] { return looks() > first + 1; });
  EXPECT_EQ(peer_.requests(), 0u);
  peer_.set_plan(Plan{UINT64_MAX});
  await([&] { return peer_.requests() == 1; });
  peer_.answer_all();
  expect_bytes(one, {0, 65'536});
  EXPECT_EQ(source_.open(), 0u);
}

TEST_F(SourcesTest, a_source_that_wakes_up_first_still_wins) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  auto one = read({0, 65'536});
  await([&] { return source_.requests() == 1; });
  source_.answer(0, 16'383);  // not a whole block yet
  EXPECT_EQ(peer_.open(), 1u);
  peer_.answer(0, UINT64_MAX);
  EXPECT_EQ(source_.open(), 0u);
  expect_bytes(one, {0, 65'536});
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), 65'536u);
}

TEST_F(SourcesTest, a_source_that_falls_silent_in_the_middle_is_overtaken_from_there) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  auto one = read({0, 65'536});
  peer_.answer(0, 32'768);
  await([&] { return source_.open() == 1; });
  const auto last = source_.requests() - 1;
  EXPECT_EQ(source_.asked(last).end(), 65'536u);
  source_.answer_all();
  expect_bytes(one, {0, 65'536});
  EXPECT_EQ(peer_.open(), 0u);
}

TEST_F(SourcesTest, the_silent_one_is_what_is_left_when_its_rival_fails) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  auto one = read({0, 65'536});
  await([&] { return source_.requests() == 1; });
  source_.fail(0, {Fault::unavailable, "down"});
  EXPECT_FALSE(one.is_ready());
  peer_.answer_all();
  expect_bytes(one, {0, 65'536});
}

TEST_F(SourcesTest, a_source_that_gave_all_and_does_not_end_is_dropped) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(1'000)});
  auto one = read({0, 65'536});
  peer_.say(0, content_.substr(0, 65'536));
  expect_bytes(one, {0, 65'536});
  await([&] { return peer_.open() == 0; });
  EXPECT_EQ(source_.requests(), 0u);
}

TEST_F(SourcesTest, two_silent_sources_are_timed_out) {
  start_with_peer({.fault_timeout = milliseconds(50)});
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  auto one = read({0, 10});
  await([&] { return source_.requests() == 1; });
  expect_fault(one, Fault::timed_out);
}

TEST_F(SourcesTest, who_joins_with_more_time_is_not_failed_with_who_came_first) {
  start({.fault_timeout = std::chrono::minutes(10)});
  const auto now = std::chrono::steady_clock::now();
  for (const Fault out_of_time : {Fault::timed_out, Fault::unavailable}) {
    const uint64_t at = source_.requests() * kChunk;
    const size_t id = source_.requests();
    auto first = read({at, 100}, {Class::fault, now + std::chrono::minutes(1), "", false});
    auto second = read({at, 200}, {Class::fault, now + std::chrono::minutes(2), "", false});
    source_.fail(id, {out_of_time, "no answer in time"});
    ASSERT_EQ(source_.requests(), id + 2);
    EXPECT_EQ(source_.context(id + 1).deadline, now + std::chrono::minutes(2));
    EXPECT_FALSE(second.is_ready());
    source_.answer_all();
    expect_bytes(first, {at, 100});
    expect_bytes(second, {at, 200});
  }
}

TEST_F(SourcesTest, a_source_that_fails_in_time_is_not_asked_again_for_those_who_joined) {
  start({.fault_timeout = std::chrono::minutes(10)});
  const auto now = std::chrono::steady_clock::now();
  auto first = read({0, 100}, {Class::fault, now + std::chrono::minutes(1), "", false});
  auto second = read({0, 200}, {Class::fault, now + std::chrono::minutes(2), "", false});
  source_.fail(0, {Fault::denied, "no"});
  expect_fault(first, Fault::denied);
  expect_fault(second, Fault::denied);
  auto third = read({kChunk, 100});
  source_.fail(1, {Fault::unavailable, "down"});
  expect_fault(third, Fault::unavailable);
  EXPECT_EQ(source_.requests(), 2u);
}

TEST_F(SourcesTest, of_a_source_that_goes_front_to_back_all_is_asked_for_in_order) {
  start({.quiet = milliseconds(60'000)});
  source_.set_plan(Plan{UINT64_MAX, util::Duration::max(), true});
  auto far = read({6 << 20, 100});
  EXPECT_TRUE(layer_->front_to_back());
  uint64_t at = 0;
  for (size_t id = 1; id < source_.requests(); ++id) {
    EXPECT_EQ(source_.asked(id).offset, at);
    at = source_.asked(id).end();
    if (at == 6 << 20) at += source_.asked(0).length;
  }
  EXPECT_EQ(source_.paused(), 0u) << "it does not stand still for the fault that waits for it";
  for (size_t id = 1; id < source_.requests(); ++id) source_.answer(id, UINT64_MAX);
  EXPECT_FALSE(far.is_ready());
  source_.answer_all();
  expect_bytes(far, {6 << 20, 100});
  await_cached({0, kSize});
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), kSize);
}

TEST_F(SourcesTest, a_source_that_turns_out_to_go_front_to_back_is_asked_again_for_all) {
  start();
  auto one = read({6 << 20, 100});
  EXPECT_EQ(source_.requests(), 1u);
  source_.set_plan(Plan{UINT64_MAX, util::Duration::max(), true});
  source_.fail(0, {Fault::unavailable, "it ignores ranges"});
  EXPECT_FALSE(one.is_ready());
  EXPECT_GT(source_.requests(), 2u);
  source_.answer_all();
  expect_bytes(one, {6 << 20, 100});
  auto other = read({0, 100});
  expect_bytes(other, {0, 100});
}

/// A pull in the order of a node that begins in the middle of a window.
class TurnTest : public FetchTest {
 protected:
  void start_turned(double turn = 0.5, unsigned pull_transfers = 6) {
    FetchOptions options;
    options.turn = turn;
    options.pull_transfers = pull_transfers;
    start(options);
    source_.set_wanted(1);
  }
  util::Operation pull() {
    return fetcher_->bring_in(layer_, Class::pull, [&](Outcome<util::Done> outcome) {
      done_.set_value(static_cast<bool>(outcome));
    });
  }
  void expect_whole() {
    auto future = done_.get_future();
    for (int i = 0; i < 4'000 && future.wait_for(milliseconds(5)) != std::future_status::ready; ++i)
      source_.answer_all();
    ASSERT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_TRUE(future.get());
    EXPECT_EQ(layer_->bytes_by_source().at("registry"), kSize) << "each byte once";
    auto all = read({0, kSize});
    expect_bytes(all, {0, kSize});
  }
  std::promise<bool> done_;
};

TEST_F(TurnTest, a_pull_goes_round_and_brings_every_byte_once) {
  start_turned();
  auto hole = read({(5 << 20) + 100'000, 200'000});
  source_.answer_all();
  expect_bytes(hole, {(5 << 20) + 100'000, 200'000});
  const size_t before = source_.requests();
  const auto operation = pull();
  EXPECT_EQ(source_.asked(before).offset, 4u << 20);
  expect_whole();
}

TEST_F(TurnTest, a_pull_that_nobody_else_wants_is_in_order_until_somebody_does) {
  start_turned(0.75, 2);
  source_.set_wanted(0);
  source_.set_plan(Plan{kMiB});
  const auto operation = pull();
  const size_t before = source_.requests();
  ASSERT_EQ(before, 4u);
  for (size_t id = 0; id < before; ++id) EXPECT_EQ(source_.asked(id).offset, id << 20);
  source_.set_wanted(1);
  source_.answer(0, kMiB);
  await([&] { return source_.requests() > before; });
  EXPECT_EQ(source_.asked(before).offset, 6u << 20);
  expect_whole();
}

TEST_F(TurnTest, a_pull_from_a_source_that_goes_front_to_back_is_in_order_at_once) {
  start_turned();
  source_.set_plan(Plan{UINT64_MAX, util::Duration::max(), true});
  const auto operation = pull();
  uint64_t at = 0;
  for (size_t id = 1; id < source_.requests(); ++id) {
    EXPECT_EQ(source_.asked(id).offset, at);
    at = source_.asked(id).end();
    if (at == source_.asked(0).offset) at = source_.asked(0).end();
  }
  EXPECT_EQ(at, kSize) << "the first was asked before it was known";
  expect_whole();
}

TEST_F(SourcesTest, backfill_is_shy_of_peers_until_faults_are_far) {
  FetchOptions options;
  options.faults_near = milliseconds(300);
  options.backfill_transfers = 6;
  start_with_peer(options);
  peer_.set_plan(Plan{kChunk});
  const auto backfill =
      fetcher_->bring_in(layer_, Class::backfill, [](const Outcome<util::Done>&) {});
  EXPECT_EQ(peer_.requests(), inflow_limit(0, true).backfill / kChunk);
  await([&] { return peer_.requests() == inflow_limit(0, false).backfill / kChunk; });
}

TEST_F(SourcesTest, bulk_asks_peers_first_for_what_they_have_and_waits_for_little_else) {
  start_with_peer({.request_size = kMiB, .pull_transfers = 4});
  peer_.set_plan(Plan{kMiB});
  std::atomic<uint64_t> had{5};  // that MiB; all, in the end
  peer_.set_has([&](util::ByteRange range) { return had == 9 || range.offset / kMiB == had; });
  const auto pull = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  ASSERT_EQ(peer_.requests(), 2u) << "the rest waits for news, but for a quarter";
  EXPECT_EQ(peer_.asked(0).offset, 5 * kMiB);
  EXPECT_EQ(peer_.asked(1).offset, 0u) << "in order, for its owner to get it";
  had = 7;
  await([&] { return peer_.requests() == 3; });
  EXPECT_EQ(peer_.asked(2).offset, 7 * kMiB);
  had = 9;
  await([&] { return peer_.requests() == 4; });
  EXPECT_EQ(peer_.asked(3).offset, kMiB) << "nothing was passed over";
  EXPECT_EQ(source_.requests(), 0u);
}

TEST_F(SourcesTest, bulk_looks_past_what_is_here_for_what_peers_have) {
  constexpr uint64_t kChunks = 192, kHere = 150, kHad = 170;
  const std::string content = support::noise(kChunks * kChunk, 5);
  support::FakeSource peer{content, chunk::SourceKind::peer}, source{content};
  start_over({&peer, &source}, {.request_size = kChunk, .pull_transfers = 4}, 1 << 30);
  layer_ = fetcher_->open({util::Sha256::of(util::as_bytes(content)), content.size(), {}});
  peer.set_plan({});
  auto here = read({kChunk, kHere * kChunk}, Class::pull);
  source.answer_all();
  ASSERT_TRUE(here.answer.get());
  await_cached({kChunk, kHere * kChunk});
  peer.set_plan(Plan{kChunk});
  peer.set_has([&](util::ByteRange range) { return range.offset / kChunk == kHad; });
  const auto pull = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  ASSERT_EQ(peer.requests(), 2u);
  EXPECT_EQ(peer.asked(0).offset, kHad * kChunk);
  EXPECT_EQ(peer.asked(1).offset, 0u);
  fetcher_->stop();
}

TEST_F(SourcesTest, bulk_that_has_its_share_stands_in_for_others_one_at_a_time) {
  start_with_share();
  peer_.set_left([](util::ByteRange range) { return range.offset / kMiB >= 5; });
  const auto pull = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  ASSERT_EQ(source_.requests(), 1u) << "our share is not here yet";
  EXPECT_EQ(source_.asked(0).offset, 2 * kMiB);
  source_.answer(0, UINT64_MAX);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(source_.requests(), 1u) << "nor has it been for a second";
  await([&] { return source_.requests() == 2; });
  EXPECT_EQ(source_.asked(1).offset, 8 * kMiB) << "where its owner comes last";
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_EQ(source_.requests(), 2u) << "one at a time";
  source_.answer(1, UINT64_MAX);
  await([&] { return source_.requests() == 3; });
  EXPECT_EQ(source_.asked(2).offset, 8 * kMiB - kChunk);
}

TEST_F(SourcesTest, bulk_stands_in_for_nobody_while_a_share_of_another_layer_is_to_come) {
  start_with_share();
  peer_.set_left([](util::ByteRange range) { return range.offset / kMiB >= 5; });
  const auto other = fetcher_->open({util::Sha256::of(util::as_bytes("another")), kSize, {}});
  const auto done = [](const Outcome<util::Done>&) {};
  const auto pull = fetcher_->bring_in(layer_, Class::pull, done);
  const auto slow = fetcher_->bring_in(other, Class::pull, done);
  ASSERT_EQ(source_.requests(), 1u);
  source_.answer(0, UINT64_MAX);
  await([&] { return source_.requests() == 2; });
  EXPECT_EQ(source_.asked_of().back().digest, other->ref().digest);
  std::this_thread::sleep_for(kStandInAfter + milliseconds(300));
  EXPECT_EQ(source_.requests(), 2u);
  source_.answer(1, UINT64_MAX);
  await([&] { return source_.requests() > 2; });
  EXPECT_EQ(source_.asked(2).offset, 8 * kMiB);
}

TEST_F(SourcesTest, an_owner_is_asked_after_all_where_the_registry_gives_nothing_to_who_stands_in) {
  start_with_share();
  peer_.set_left([](util::ByteRange range) { return range.offset / kMiB == 5; });
  std::atomic<bool> pulled = false;
  const auto pull = fetcher_->bring_in(
      layer_, Class::pull, [&](const Outcome<util::Done>& outcome) { pulled = bool(outcome); });
  source_.answer(0, UINT64_MAX);
  await([&] { return source_.requests() == 2; });
  source_.fail(1, {Fault::unavailable, "it is down"});
  await([&] { return peer_.asked(peer_.requests() - 1).offset == 6 * kMiB - kChunk; });
  peer_.set_has([](util::ByteRange) { return true; });
  await([&] {
    if (peer_.open() > 0) peer_.answer_all();
    return pulled.load();
  });
  EXPECT_EQ(source_.requests(), 2u);
}

TEST_F(SourcesTest, bulk_leaves_what_others_bring_to_them_while_anything_comes) {
  start_with_peer({.request_size = kMiB, .pull_transfers = 4});
  peer_.set_has([](util::ByteRange range) { return range.offset / kMiB == 6; });
  peer_.set_planner([](util::ByteRange range) {
    Plan plan{kMiB};
    plan.ours = range.offset / kMiB == 2;
    plan.theirs = !plan.ours && range.offset / kMiB != 6;
    return std::optional(plan);
  });
  const auto begun = std::chrono::steady_clock::now();
  const auto pull = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  ASSERT_EQ(peer_.requests(), 2u) << "its own, and what somebody has who wants it as well";
  EXPECT_EQ(peer_.asked(0).offset, 2 * kMiB);
  EXPECT_EQ(peer_.asked(1).offset, 6 * kMiB);
  peer_.answer_all();
  await([&] { return peer_.requests() == 3; });
  EXPECT_GE(std::chrono::steady_clock::now() - begun, kStandInAfter) << "they are late";
  EXPECT_EQ(peer_.asked(2).offset, 0u);
  EXPECT_EQ(source_.requests(), 0u);
}

TEST_F(SourcesTest, bulk_that_had_no_share_stands_in_for_nobody) {
  start_with_peer({.request_size = kMiB, .pull_transfers = 4});
  peer_.set_has([](util::ByteRange) { return false; });
  peer_.set_plan(Plan{kMiB});
  peer_.set_left([](util::ByteRange) { return true; });
  const auto pull = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  std::this_thread::sleep_for(kStandInAfter + milliseconds(250));
  EXPECT_EQ(peer_.requests(), 1u);
  EXPECT_EQ(source_.requests(), 0u);
}

TEST_F(SourcesTest, a_read_of_a_source_that_goes_front_to_back_ends_at_its_deadline) {
  start({.fault_timeout = milliseconds(50)});
  source_.set_plan(Plan{UINT64_MAX, util::Duration::max(), true});
  auto far = read({6 << 20, 100});
  source_.answer(1, 100'000);
  expect_fault(far, Fault::timed_out);
}

TEST_F(SourcesTest, bulk_that_stands_still_for_a_fault_is_not_overtaken) {
  start_with_peer({.quiet = milliseconds(60'000)});
  peer_.set_plan(Plan{kChunk, milliseconds(2)});
  const auto backfill =
      fetcher_->bring_in(layer_, Class::backfill, [](const Outcome<util::Done>&) {});
  const auto bulk = peer_.requests();
  peer_.set_plan(Plan{UINT64_MAX});
  auto fault = read({kSize - 100, 100});
  // A request beside the first may just have been on its way.
  await([&] { return peer_.paused() + source_.paused() == bulk + source_.requests(); });
  const auto before = source_.requests();
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(source_.requests(), before);
}

TEST_F(SourcesTest, a_fault_that_joins_bulk_hurries_it) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, std::chrono::minutes(1)});
  const auto backfill =
      fetcher_->bring_in(layer_, Class::backfill, [](const Outcome<util::Done>&) {});
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  auto fault = read({0, 100});
  await([&] { return source_.requests() == 1; });
  EXPECT_EQ(source_.context(0).cls, Class::fault);
  source_.answer(0, UINT64_MAX);
  expect_bytes(fault, {0, 100});
}

TEST_F(SourcesTest, bulk_whose_supplier_told_it_to_wait_is_not_overtaken_until_a_fault_joins) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  peer_.set_told_to_wait(true);
  auto pull = read({0, 65'536}, Class::pull);
  std::this_thread::sleep_for(milliseconds(300));  // for many looks
  EXPECT_EQ(source_.requests(), 0u);
  auto fault = read({0, 100});
  await([&] { return source_.requests() == 1; });
  source_.answer_all();
  expect_bytes(fault, {0, 100});
  expect_bytes(pull, {0, 65'536});

  auto other = read({kChunk, 65'536}, Class::pull);
  peer_.set_told_to_wait(false);
  await([&] { return source_.requests() == 2; });
  source_.answer_all();
  expect_bytes(other, {kChunk, 65'536});
}

TEST_F(SourcesTest, bulk_that_the_registry_lets_wait_comes_from_a_peer_that_has_come_by_it) {
  start_with_peer();
  peer_.set_plan(std::nullopt);
  source_.set_plan(Plan{UINT64_MAX, milliseconds(2)});
  source_.set_told_to_wait(true);
  auto pull = read({0, 65'536}, Class::pull);
  EXPECT_EQ(source_.requests(), 1u);
  peer_.set_plan(Plan{UINT64_MAX});
  await([&] { return peer_.requests() == 1; });
  peer_.answer_all();
  expect_bytes(pull, {0, 65'536});
  EXPECT_EQ(source_.open(), 0u);
}

TEST_F(SourcesTest, a_fault_that_joins_bulk_of_a_source_without_faults_goes_to_the_next_one) {
  start_with_peer();
  peer_.set_plan(Plan{UINT64_MAX, std::chrono::minutes(1)});
  const auto backfill =
      fetcher_->bring_in(layer_, Class::backfill, [](const Outcome<util::Done>&) {});
  peer_.set_plan(std::nullopt);
  auto fault = read({0, 100});
  await([&] { return source_.requests() == 1; });
  EXPECT_EQ(source_.context(0).cls, Class::fault);
  source_.answer(0, UINT64_MAX);
  expect_bytes(fault, {0, 100});
}

TEST_F(SourcesTest, for_a_peer_no_peer_is_asked) {
  start_with_peer();
  auto one = read_for_peer({0, 100});
  EXPECT_EQ(peer_.requests(), 0u);
  ASSERT_EQ(source_.requests(), 1u);
  EXPECT_TRUE(source_.context(0).for_peer);
  source_.fail(0, {Fault::unavailable, "down"});
  expect_fault(one, Fault::unavailable);
  EXPECT_EQ(peer_.requests(), 0u);
}

TEST_F(SourcesTest, for_a_peer_nobody_waits_for_a_peer) {
  start_with_peer();
  auto ours = read({0, 100});
  ASSERT_EQ(peer_.requests(), 1u);
  auto theirs = read_for_peer({0, 100});
  ASSERT_EQ(source_.requests(), 1u);
  source_.answer_all();
  expect_bytes(theirs, {0, 100});
  EXPECT_FALSE(ours.is_ready());
  peer_.answer_all();
  expect_bytes(ours, {0, 100});
}

TEST_F(SourcesTest, for_a_peer_a_flight_from_the_registry_is_joined_until_it_turns_to_a_peer) {
  start_with_peer();
  peer_.set_plan(std::nullopt);
  auto ours = read({0, 100});
  auto theirs = read_for_peer({0, 100});
  EXPECT_EQ(source_.requests(), 1u);
  peer_.set_plan(Plan{UINT64_MAX});
  source_.fail(0, {Fault::unavailable, "down"});
  ASSERT_EQ(source_.requests(), 2u) << "theirs has more time than ours had";
  source_.fail(1, {Fault::unavailable, "down"});
  expect_fault(theirs, Fault::unavailable);
  peer_.answer_all();
  expect_bytes(ours, {0, 100});
}

TEST_F(SourcesTest, for_a_peer_the_registry_goes_on_when_a_flight_turns_to_a_peer) {
  start_with_peer();
  auto ours = read({0, 4 * 65'536}, Class::pull);
  ASSERT_EQ(peer_.requests(), 1u);
  source_.set_plan(Plan{65'536});
  peer_.set_plan(std::nullopt);
  const auto planned = peer_.planned_for().size();
  peer_.fail(0, {Fault::unavailable, "gone"});
  ASSERT_EQ(source_.requests(), 1u);
  // Once at its failure, and once it may be asked again.
  await([&] { return peer_.planned_for().size() >= planned + 2; });
  auto theirs = read_for_peer({65'000, 2 * 65'536});
  ASSERT_EQ(source_.requests(), 1u) << "it joins";
  peer_.set_plan(Plan{UINT64_MAX});
  source_.answer(0, UINT64_MAX);
  ASSERT_EQ(peer_.requests(), 2u);
  EXPECT_EQ(peer_.asked(1), (util::ByteRange{65'536, 3 * 65'536}));
  source_.answer_all();
  expect_bytes(theirs, {65'000, 2 * 65'536});
  EXPECT_FALSE(ours.is_ready());
  peer_.answer_all();
  expect_bytes(ours, {0, 4 * 65'536});
}

TEST_F(SourcesTest, what_comes_from_the_registry_is_told) {
  start_with_peer();
  const auto from_peer = read({0, 100});
  peer_.set_plan(std::nullopt);
  EXPECT_TRUE(fetcher_->coming(*layer_).empty());
  auto second = read({2 * kChunk, 65'536 + 1}), first = read({2 * kChunk - 65'536, 65'536});
  const std::vector<chunk::BlockRange> expected{{28, 9}};
  EXPECT_EQ(fetcher_->coming(*layer_), expected);
  source_.answer_all();
  EXPECT_TRUE(fetcher_->coming(*layer_).empty());
}

TEST_F(SourcesTest, short_plans_make_more_requests_of_a_pull_not_more_bytes) {
  start_with_peer();
  peer_.set_plan(Plan{kChunk});
  std::promise<Outcome<util::Done>> done;
  const auto pull = fetcher_->bring_in(
      layer_, Class::pull, [&](Outcome<util::Done> o) { done.set_value(std::move(o)); });
  EXPECT_EQ(peer_.requests(), inflow_limit(0, false).bytes / kChunk);
  peer_.answer_all();
  auto future = done.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_TRUE(future.get());
  EXPECT_EQ(source_.requests(), 0u);
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), kSize);
}

TEST_F(SourcesTest, tiny_plans_do_not_flood_a_source) {
  start_with_peer();
  peer_.set_plan(Plan{1});
  const auto backfill =
      fetcher_->bring_in(layer_, Class::backfill, [](const Outcome<util::Done>&) {});
  EXPECT_EQ(peer_.requests(), 12u);
}

}  // namespace
}  // namespace swarmfs::fetch
