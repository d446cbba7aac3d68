// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch_fixture.h"

#include "fetch/read_ahead.h"
#include "support/dropping_store.h"

namespace swarmfs::fetch {
namespace {

using chunk::Class;
using std::chrono::milliseconds;
using util::Fault;
using util::Outcome;

TEST_F(FetchTest, many_readers_of_one_block_are_one_request) {
  start();
  std::vector<Read> reads;
  for (int i = 0; i < 10; ++i) reads.push_back(read({100'000, 1'000}));
  EXPECT_EQ(source_.requests(), 1u);
  source_.answer_all();
  for (auto& one : reads) expect_bytes(one, {100'000, 1'000});
  auto again = read({100'100, 500});
  expect_bytes(again, {100'100, 500});
  EXPECT_EQ(source_.requests(), 1u);
}

TEST_F(FetchTest, a_layer_has_one_size_whatever_another_manifest_says) {
  start();
  for (const uint64_t lie : {uint64_t{1}, kSize + 1})
    EXPECT_THROW(static_cast<void>(fetcher_->open({layer_->ref().digest, lie, {}})), util::Error);
  auto one = read({0, 100});
  source_.answer_all();
  expect_bytes(one, {0, 100});
}

TEST_F(FetchTest, a_layer_is_opened_alone_while_all_that_is_here_came_in_one_name) {
  start();
  const auto digest = layer_->ref().digest;
  layer_.reset();
  const auto in_name_of = [&](const std::string& registry) {
    return chunk::LayerRef{digest, kSize, {{registry, "app"}}};
  };
  const auto bring = [&](const std::shared_ptr<Layer>& of) {
    layer_ = of;
    bring_first_block();
  };
  bring(fetcher_->open_alone(in_name_of("a")));
  EXPECT_EQ(layer_->came_for(), (std::set<chunk::Origin>{{"a", "app"}}));
  EXPECT_FALSE(fetcher_->open_alone(in_name_of("b"))) << "it is in use in another name";
  layer_.reset();
  layer_ = fetcher_->open_alone(in_name_of("a"));
  ASSERT_TRUE(layer_);
  EXPECT_EQ(layer_->stored().bytes_present(), chunk::kBlockSize) << "its own bytes are kept";
  (void)fetcher_->open(in_name_of("b"));
  EXPECT_EQ(layer_->came_for()->size(), 2u);
  EXPECT_FALSE(fetcher_->open_alone(in_name_of("a"))) << "what comes may be the other's";
  layer_.reset();
  layer_ = fetcher_->open_alone(in_name_of("a"));
  ASSERT_TRUE(layer_) << "nobody uses it";
  EXPECT_EQ(layer_->stored().bytes_present(), 0u) << "but what came is nobody's";
  EXPECT_EQ(layer_->came_for(), (std::set<chunk::Origin>{{"a", "app"}}));
}

TEST_F(FetchTest, a_sealed_part_is_dropped_for_nobody) {
  start();
  const auto digest = layer_->ref().digest;
  layer_ = fetcher_->open({digest, kSize, {{"a", "app"}}});
  bring_first_block();
  layer_->seal(tree());
  layer_.reset();
  EXPECT_FALSE(fetcher_->open_alone({digest, kSize, {{"b", "app"}}}));
  layer_ = fetcher_->open({digest, kSize, {}});
  EXPECT_EQ(layer_->stored().bytes_present(), chunk::kBlockSize);
  layer_->seal(nullptr);  // the tree was wrong
  layer_.reset();
  layer_ = fetcher_->open_alone({digest, kSize, {{"b", "app"}}});
  ASSERT_TRUE(layer_);
  EXPECT_EQ(layer_->stored().bytes_present(), 0u);
}

TEST_F(FetchTest, a_part_that_is_sealed_by_a_claim_alone_shows_nothing_and_is_dropped) {
  start();
  const auto digest = layer_->ref().digest;
  layer_ = fetcher_->open({digest, kSize, {{"a", "app"}}});
  bring_first_block();
  layer_->seal(tree(), "b0b");
  layer_.reset();
  layer_ = fetcher_->open_alone({digest, kSize, {{"b", "app"}}});
  ASSERT_TRUE(layer_);
  EXPECT_EQ(layer_->stored().bytes_present(), 0u);
  bring_first_block();
  layer_->seal(tree(), "b0b");
  layer_->seal(tree());  // hashed here by now
  layer_.reset();
  EXPECT_FALSE(fetcher_->open_alone({digest, kSize, {{"a", "app"}}}));
}

TEST_F(FetchTest, who_only_looks_keeps_nobody_from_opening_a_layer_alone) {
  start();
  const auto digest = layer_->ref().digest;
  layer_ = fetcher_->open({digest, kSize, {{"a", "app"}}});
  bring_first_block();
  layer_.reset();
  const auto look = fetcher_->open({digest, kSize, {}});
  layer_ = fetcher_->open_alone({digest, kSize, {{"b", "app"}}});
  ASSERT_TRUE(layer_);
  EXPECT_EQ(look->stored().bytes_present(), 0u);
  EXPECT_EQ(look->came_for(), (std::set<chunk::Origin>{{"b", "app"}}));
}

TEST_F(FetchTest, who_opens_a_layer_that_is_being_dropped_waits) {
  start();
  const auto digest = layer_->ref().digest;
  layer_ = fetcher_->open({digest, kSize, {{"a", "app"}}});
  bring_first_block();
  layer_.reset();
  fetcher_->stop();
  fetcher_.reset();
  support::DroppingStore store(*cache_);
  fetcher_.emplace(store, std::vector<chunk::Source*>{&source_}, FetchOptions{}, timers_, metrics_);
  std::atomic<bool> opened = false, too_early = false;
  std::future<std::shared_ptr<Layer>> other;
  store.on_discard = [&] {
    other = std::async(std::launch::async, [&] {
      auto made = fetcher_->open({digest, kSize, {{"c", "app"}}});
      opened = true;
      return made;
    });
    std::this_thread::sleep_for(milliseconds(200));  // a chance to come too early
    too_early = opened.load();
  };
  EXPECT_TRUE(fetcher_->open_alone({digest, kSize, {{"b", "app"}}}));
  ASSERT_TRUE(other.valid());
  layer_ = other.get();
  EXPECT_FALSE(too_early);
  EXPECT_EQ(layer_->stored().bytes_present(), 0u);
}

TEST_F(FetchTest, what_an_earlier_run_left_is_of_no_name_and_all_of_it_is_kept) {
  start();
  const chunk::LayerRef ref{layer_->ref().digest, kSize, {{"a", "app"}}};
  auto all = read({0, kSize}, chunk::Class::pull);
  source_.answer_all();
  expect_bytes(all, {0, kSize});
  await_cached({0, kSize});
  layer_.reset();
  fetcher_->stop();
  fetcher_.reset();
  fetcher_.emplace(*cache_, std::vector<chunk::Source*>{&source_}, FetchOptions{}, timers_,
                   metrics_);
  EXPECT_FALSE(fetcher_->open_alone(ref));
  layer_ = fetcher_->open(ref);
  EXPECT_FALSE(layer_->came_for());
  EXPECT_EQ(layer_->stored().bytes_present(), kSize);
}

TEST_F(FetchTest, a_reader_has_its_bytes_before_the_request_ends) {
  start();
  auto first = read({0, 16'384});
  ASSERT_EQ(source_.requests(), 1u);
  source_.answer(0, 16'384);
  expect_bytes(first, {0, 16'384});
}

TEST_F(FetchTest, a_silent_source_is_timed_out) {
  start({.fault_timeout = milliseconds(80)});
  auto one = read({0, 10});
  ASSERT_EQ(one.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(one.answer.get().failure().fault, util::Fault::timed_out);
}

TEST_F(FetchTest, a_new_fault_timeout_holds_for_the_next_read) {
  start();
  fetcher_->set_fault_timeout(milliseconds(80));
  auto one = read({0, 10});
  ASSERT_EQ(one.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(one.answer.get().failure().fault, util::Fault::timed_out);
}

TEST_F(FetchTest, the_end_waits_for_nobody_who_reads_all_of_a_layer) {
  start();
  auto first = read({0, kSize});
  while (!first.is_ready()) source_.answer_all();
  await_cached({0, kSize});
  fetcher_->stop();
  auto pass = read({0, 65'536}, Class::pull);
  expect_fault(pass, Fault::cancelled);
  auto fault = read({0, 65'536});
  expect_bytes(fault, {0, 65'536});
}

TEST_F(FetchTest, a_failing_source_is_its_failure_and_the_next_read_asks_again) {
  start();
  auto one = read({0, 10});
  source_.fail(0, {util::Fault::denied, "no"});
  ASSERT_EQ(one.answer.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(one.answer.get().failure().fault, util::Fault::denied);
  auto two = read({0, 10});
  source_.answer_all();
  expect_bytes(two, {0, 10});
}

TEST_F(FetchTest, a_cancelled_read_never_calls_back) {
  start();
  bool called = false;
  {
    const auto operation = fetcher_->read(
        layer_, {0, 10}, {}, [&](const Outcome<util::SharedBytes>&) { called = true; });
  }
  source_.answer_all();
  auto other = read({0, 10});
  source_.answer_all();
  expect_bytes(other, {0, 10});
  EXPECT_FALSE(called);
}

TEST_F(FetchTest, backfill_brings_everything_and_yields_to_a_fault) {
  start({.quiet = milliseconds(1)});
  std::promise<Outcome<util::Done>> done;
  const auto operation = fetcher_->bring_in(layer_, Class::backfill,
                                            [&](Outcome<util::Done> o) { done.set_value(o); });
  const auto at_first = source_.requests();
  EXPECT_GE(at_first, 2u);
  EXPECT_EQ(source_.paused(), 0u);
  auto fault = read({kSize - 100, 100});
  EXPECT_EQ(source_.requests(), at_first + 1);
  EXPECT_EQ(source_.paused(), at_first);
  source_.answer(at_first, UINT64_MAX);
  expect_bytes(fault, {kSize - 100, 100});
  for (int i = 0; i < 500 && source_.paused() > 0; ++i)
    std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(source_.paused(), 0u);
  answer_until(done);
  const auto requests = source_.requests();
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
  EXPECT_EQ(source_.requests(), requests);
}

TEST_F(FetchTest, backfill_keeps_to_its_rate_and_nothing_else_does) {
  start({.backfill_rate = 512 << 10});
  const auto begun = std::chrono::steady_clock::now();
  const auto backfill = fetcher_->bring_in(layer_, Class::backfill, [](const auto&) {});
  EXPECT_EQ(source_.requests(), 1u) << "more than a second's worth";
  auto fault = read({kSize - 100, 100});
  EXPECT_EQ(source_.requests(), 2u);
  source_.answer_all();
  expect_bytes(fault, {kSize - 100, 100});
  await([&] { return source_.requests() == 3; });
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::seconds(3)) << "overdrawn";
  const auto pull = fetcher_->bring_in(layer_, Class::pull, [](const auto&) {});
  EXPECT_GE(source_.requests(), 5u);
}

TEST_F(FetchTest, backfill_pays_for_what_it_asks_for) {
  source_.set_plan(chunk::Plan{256 << 10});
  start({.backfill_rate = 1 << 20});
  const auto backfill = fetcher_->bring_in(layer_, Class::backfill, [](const auto&) {});
  EXPECT_GE(source_.requests(), 4u) << "a second's worth";
}

TEST_F(FetchTest, layers_take_turns_at_the_rate_of_backfill) {
  start({.backfill_rate = 2 << 20});
  const auto other =
      fetcher_->open({util::Sha256::of(util::as_bytes(std::string("another"))), kSize, {}});
  const auto first = fetcher_->bring_in(layer_, Class::backfill, [](const auto&) {});
  const auto second = fetcher_->bring_in(other, Class::backfill, [](const auto&) {});
  await([&] {
    source_.answer_all();
    return source_.requests() >= 5;
  });
  size_t beginnings = 0;
  for (size_t id = 0; id < 5; ++id) beginnings += source_.asked(id).offset == 0;
  EXPECT_EQ(beginnings, 2u) << "of both layers";
}

TEST_F(FetchTest, backfill_ends_whatever_its_rate_was) {
  start({.backfill_rate = 1});
  std::promise<Outcome<util::Done>> done;
  const auto operation = fetcher_->bring_in(layer_, Class::backfill,
                                            [&](Outcome<util::Done> o) { done.set_value(o); });
  source_.answer_all();
  EXPECT_EQ(source_.requests(), 1u) << "it would take a month";
  fetcher_->set_backfill_rate(200 << 20);
  answer_until(done, 2000);
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
}

TEST_F(FetchTest, a_layer_was_brought_in_when_all_of_it_is_stored) {
  start();
  for (const bool fault_is_last : {false, true}) {
    layer_->stored().discard();
    auto fault = read({kSize - 100, 100});
    const auto faulting = source_.requests() - 1;
    std::promise<bool> stored;
    const auto operation =
        fetcher_->bring_in(layer_, Class::pull, [&](const Outcome<util::Done>& outcome) {
          stored.set_value(outcome && layer_->stored().has(chunk::blocks_covering({0, kSize})));
        });
    if (!fault_is_last) source_.answer(faulting, UINT64_MAX);
    auto future = stored.get_future();
    for (auto id = faulting + 1; future.wait_for(milliseconds(0)) != std::future_status::ready;) {
      if (id < source_.requests())
        source_.answer(id++, UINT64_MAX);
      else if (source_.open() == 1)
        source_.answer(faulting, UINT64_MAX);
    }
    EXPECT_TRUE(future.get());
    expect_bytes(fault, {kSize - 100, 100});
  }
}

TEST_F(FetchTest, what_another_asked_for_in_vain_is_brought_in_all_the_same) {
  for (const auto cls : {Class::pull, Class::backfill}) {
    start();
    layer_->stored().discard();
    auto another = read_for_peer({kSize / 2, 100});
    const auto in_vain = source_.requests() - 1;
    std::promise<Outcome<util::Done>> done;
    const auto operation =
        fetcher_->bring_in(layer_, cls, [&](Outcome<util::Done> o) { done.set_value(o); });
    for (auto id = in_vain + 1; source_.open() > 1; ++id) source_.answer(id, UINT64_MAX);
    source_.fail(in_vain, {Fault::unavailable, "no"});
    expect_fault(another, Fault::unavailable);
    answer_until(done);
    EXPECT_TRUE(layer_->stored().has(chunk::blocks_covering({0, kSize}))) << to_string(cls);
  }
}

TEST_F(FetchTest, bulk_that_is_late_is_asked_for_again_while_the_rest_comes) {
  start();
  std::promise<Outcome<util::Done>> done;
  const auto operation =
      fetcher_->bring_in(layer_, Class::pull, [&](Outcome<util::Done> o) { done.set_value(o); });
  ASSERT_GE(source_.requests(), 2u);
  const auto late = source_.asked(1);
  source_.answer(0, UINT64_MAX);
  const auto before = source_.requests();
  source_.fail(1, {Fault::timed_out, "it waited for its turn"});
  ASSERT_EQ(source_.requests(), before + 1);
  EXPECT_EQ(source_.asked(before), late);
  EXPECT_GT(source_.context(before).deadline, source_.context(1).deadline);
  answer_until(done);
  auto all = read({0, kSize});
  expect_bytes(all, {0, kSize});
}

TEST_F(FetchTest, what_is_given_in_turns_is_not_late_while_another_layer_comes) {
  FetchOptions options;
  options.request_size = 256 << 10;
  widen(*options.link);
  start_with_peer(options);
  peer_.set_planner([](util::ByteRange range) { return in_turns(range, milliseconds(250)); });
  const auto other = fetcher_->open({util::Sha256::of(util::as_bytes("another")), kSize, {}});
  const auto ignore = [](const Outcome<util::Done>&) {};
  const auto comes = fetcher_->bring_in(other, Class::pull, ignore);
  const auto last_of_other = peer_.requests();
  ASSERT_GT(last_of_other, 1u);
  const auto waits = fetcher_->bring_in(layer_, Class::pull, ignore);
  ASSERT_GT(peer_.requests(), last_of_other);
  auto reader = read({0, 100}, Class::pull);
  for (int i = 0; i < 30; ++i) {
    peer_.answer(i / 10, 16'384);
    std::this_thread::sleep_for(milliseconds(25));
  }
  EXPECT_EQ(source_.requests(), 0u);
  await([&] { return source_.requests() > 0; });
}

/// An index is built from what comes in turns, and waits with it; a client does not.
TEST_F(FetchTest, who_reads_in_order_beside_bulk_waits_for_turns_as_long_as_that_but_a_client) {
  FetchOptions options;
  options.request_size = 512 << 10;
  widen(*options.link);
  start_with_peer(options);
  peer_.set_planner([](util::ByteRange range) { return in_turns(range, milliseconds(1'500)); });
  const auto comes = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  chunk::FetchContext context{Class::pull, util::SteadyTime::max(), ""};
  const auto index = read({kSize - 100, 100}, context);
  context.awaited = true;
  const auto client = read({7 << 20, 100}, context);
  for (int i = 0; i < 32; ++i) {
    peer_.answer(0, 16'384);
    std::this_thread::sleep_for(milliseconds(210));
  }
  await([&] { return source_.requests() > 0; });
  EXPECT_EQ(source_.asked(0).offset, 7u << 20);
}

/// A node that waits for the registry itself knows why its peers do.
TEST_F(FetchTest, what_peers_bring_in_is_not_late_while_the_registry_takes_as_long_here) {
  FetchOptions options;
  widen(*options.link);
  start_with_peer(options);
  bool ours = true;
  peer_.set_planner([&](util::ByteRange range) -> std::optional<chunk::Plan> {
    if (ours) return std::nullopt;
    return in_turns(range, milliseconds(100));
  });
  auto here = read({0, 100}, Class::pull);
  ASSERT_EQ(source_.requests(), 1u);
  ours = false;
  std::this_thread::sleep_for(milliseconds(300));
  auto there = read({kSize / 2, 100}, Class::pull);
  ASSERT_EQ(peer_.requests(), 1u);
  std::this_thread::sleep_for(milliseconds(600));
  EXPECT_EQ(source_.requests(), 1u) << "a hedge of 0.1 s";
  source_.answer(0, UINT64_MAX);
  expect_bytes(here, {0, 100});
  await([&] { return source_.requests() == 2; });
  peer_.answer_all();
  expect_bytes(there, {kSize / 2, 100});
}

TEST_F(FetchTest, bulk_is_waited_for_while_any_of_that_registry_comes) {
  FetchOptions options;
  options.bulk_timeout = milliseconds(1'500);
  start(options);
  const auto open = [&](const char* name, const char* registry) {
    return fetcher_->open({util::Sha256::of(util::as_bytes(name)), kSize, {{registry, "r"}}});
  };
  layer_ = open("late", "comes");
  auto late = read({0, 100}, Class::pull);
  ASSERT_EQ(source_.requests(), 1u);
  layer_ = open("silent", "silent");
  auto in_vain = read({0, 100}, Class::pull);
  layer_ = open("late", "comes");
  const auto first = source_.requests();
  const auto comes =
      fetcher_->bring_in(open("another", "comes"), Class::pull, [](const Outcome<util::Done>&) {});
  ASSERT_GT(source_.requests(), first);
  chunk::FetchContext short_of_time{Class::pull,
                                    std::chrono::steady_clock::now() + milliseconds(2'000), ""};
  auto gives_up = read({kSize / 2, 100}, short_of_time);
  for (int i = 0; i < 16; ++i) {
    source_.answer(first, 16'384);
    std::this_thread::sleep_for(milliseconds(200));
  }
  for (const auto* one : {&in_vain, &gives_up})
    EXPECT_EQ(one->answer.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_EQ(late.answer.wait_for(milliseconds(0)), std::future_status::timeout);
  source_.answer(0, UINT64_MAX);
  expect_bytes(late, {0, 100});
  expect_fault(in_vain, Fault::timed_out);
  expect_fault(gives_up, Fault::timed_out);
  auto in_silence = read({kSize / 2, 100}, Class::pull);
  expect_fault(in_silence, Fault::timed_out);
}

TEST_F(FetchTest, a_reader_that_joins_bulk_which_its_source_lets_wait_is_served_as_a_reader) {
  start();
  source_.set_told_to_wait(true);
  const auto operation = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  const auto begun = source_.requests();
  ASSERT_GE(begun, 2u);
  const auto held = source_.asked(1);
  auto peers = read_for_peer({held.offset + 1000, 1000});
  ASSERT_EQ(source_.requests(), begun + 1);
  EXPECT_EQ(source_.asked(begun), held);
  EXPECT_EQ(source_.context(1).cls, Class::pull);
  EXPECT_EQ(source_.context(begun).cls, Class::fault);
  auto fault = read({held.offset, 1000});
  EXPECT_EQ(source_.requests(), begun + 1) << "it is asked for as a reader's already";
  source_.answer(begun, UINT64_MAX);
  expect_bytes(fault, {held.offset, 1000});
  expect_bytes(peers, {held.offset + 1000, 1000});
}

TEST_F(FetchTest, a_reader_does_not_wait_with_bulk_that_is_held_after_it_joined) {
  start();
  source_.set_plan(chunk::Plan{UINT64_MAX, milliseconds(20), false});
  const auto operation = fetcher_->bring_in(layer_, Class::pull, [](const Outcome<util::Done>&) {});
  const auto begun = source_.requests();
  ASSERT_GE(begun, 2u);
  const auto held = source_.asked(1);
  source_.answer(1, 65'536);
  auto fault = read({held.offset + 70'000, 1000});
  EXPECT_EQ(source_.requests(), begun);
  source_.set_told_to_wait(true);
  await([&] { return source_.requests() == begun + 1; });
  EXPECT_EQ(source_.asked(begun), (util::ByteRange{held.offset + 65'536, held.length - 65'536}));
  EXPECT_EQ(source_.context(begun).cls, Class::fault);
  source_.answer(begun, UINT64_MAX);
  expect_bytes(fault, {held.offset + 70'000, 1000});
}

TEST_F(FetchTest, bulk_of_which_nothing_comes_in_time_fails) {
  start();
  std::promise<Outcome<util::Done>> done;
  const auto operation =
      fetcher_->bring_in(layer_, Class::pull, [&](Outcome<util::Done> o) { done.set_value(o); });
  auto future = done.get_future();
  for (size_t id = 0; id < source_.requests(); ++id)
    source_.fail(id, {Fault::timed_out, "it never came"});
  ASSERT_EQ(future.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(future.get().failure().fault, Fault::timed_out);
}

TEST_F(FetchTest, sequential_faults_read_ahead) {
  start();
  for (uint64_t at = 0; at < 2 << 20; at += 65'536) {
    auto one = read({at, 65'536});
    source_.answer_all();
    expect_bytes(one, {at, 65'536});
  }
  EXPECT_LT(source_.requests(), 20u);
}

TEST(ReadAhead, grows_while_access_is_sequential) {
  ReadAhead ahead;
  EXPECT_EQ(ahead.on_access({0, 65'536}), 0u);
  uint64_t last = 0;
  for (uint64_t at = 65'536; at < 8 << 20; at += 65'536) {
    const uint64_t now = ahead.on_access({at, 65'536});
    EXPECT_LE(now, at + 65'536);
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_EQ(last, ReadAhead::kMost);
  EXPECT_EQ(ahead.on_access({500 << 20, 4096}), 0u);
}

}  // namespace
}  // namespace swarmfs::fetch
