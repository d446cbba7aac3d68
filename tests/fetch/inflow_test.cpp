// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/inflow.h"

#include <numeric>
#include <tuple>

#include "fetch/share_pace.h"
#include "fetch_fixture.h"
#include "util/link_gauge.h"

namespace swarmfs::fetch {
namespace {

using chunk::Class;
using std::chrono::milliseconds;

constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kShare = 256 * 1024;  ///< a chunk of the fixture's layer

TEST(InflowLimit, is_what_the_link_brings_while_a_request_takes) {
  const std::tuple<double, uint64_t, uint64_t> table[] = {
      {0, 6 * kMib, kMib},
      {1e6, 6 * kMib, kMib},
      {20.0 * kMib, 15 * kMib, 2 * kMib},
      {1e9, 64 * kMib, 64 * kMib},
  };
  for (const auto& [rate, all, before_fault] : table) {
    EXPECT_EQ(inflow_limit(rate, false).bytes, all) << rate;
    EXPECT_EQ(inflow_limit(rate, false).backfill, all) << rate;
    EXPECT_EQ(inflow_limit(rate, true).bytes, all) << rate;
    EXPECT_EQ(inflow_limit(rate, true).backfill, before_fault) << rate;
    EXPECT_EQ(inflow_limit(rate, false).waits, all / 4) << rate;
  }
}

TEST(NextIn, goes_by_class_then_by_share_then_by_layer) {
  using Waiting = std::vector<WaitingRequest>;
  const std::optional<size_t> none;
  const Inflow empty, full{8 * kMib, 0, 8}, busy{kMib, 0, 48}, fed{4 * kMib, 4 * kMib, 4},
      shy{2 * kMib, 0, 2};
  const WaitingRequest share{Class::pull, true, false, 0, true},
      awaited_share{Class::pull, true, true, 0, true},
      late{Class::pull, false, true, 0, false, true};
  const std::tuple<Waiting, Inflow, std::optional<size_t>, const char*> table[] = {
      {{}, empty, none, "nobody waits"},
      {{{}}, empty, 0, "room"},
      {{{}}, full, none, "no room"},
      {{{}}, busy, none, "too many requests"},
      {{{Class::backfill}, {Class::prefetch}, {Class::pull}}, empty, 2, "class"},
      {{{Class::pull}, {Class::pull, true}}, empty, 1, "our share first"},
      {{{Class::pull, true}, {Class::pull}}, fed, 1, "half of it is ours"},
      {{{Class::pull, true}}, fed, 0, "all of it where nobody else wants"},
      {{{Class::backfill, true}, {Class::pull}}, empty, 1, "class before share"},
      {{{Class::pull, false, false, 9},
        {Class::pull, false, false, 3},
        {Class::pull, false, false, 3}},
       empty,
       1,
       "the layer that has least"},
      {{{Class::pull, false, false, 0}, {Class::pull, false, true, 9}}, empty, 1, "who reads"},
      {{{Class::pull, true}, {Class::pull, false, true}}, empty, 0, "but our share first"},
      {{{Class::backfill}}, shy, none, "backfill with enough before a fault"},
      {{{Class::backfill}, {Class::backfill, true}}, shy, 1, "our share can be paused"},
      {{{Class::backfill}, {Class::prefetch}}, shy, 1, "prefetch is for faults"},
      {{{Class::backfill}, {Class::pull}}, shy, 1, "pulls do not yield"},
      {{share}, full, 0, "others wait for it, and we for theirs"},
      {{share}, {2 * kMib, 2 * kMib, 2, kMib}, none, "as much of it as is asked for at once"},
      {{share, {Class::pull}}, {2 * kMib, 2 * kMib, 2, kMib}, 1, "and others' meanwhile"},
      {{share, awaited_share}, empty, 1, "first what somebody waits for"},
      {{late}, {kMib, 0, 1, 0, kMib}, none, "who waits for others' shares brings nothing in"},
      {{late, {Class::pull}}, {kMib, 0, 1, 0, kMib}, 1, "who has it brings it"},
      {{late}, empty, 0, "a little may wait"},
  };
  for (const auto& [waiting, inflow, next, what] : table)
    EXPECT_EQ(next_in(waiting, inflow, {8 * kMib, 2 * kMib, kMib, kMib}), next) << what;
}

TEST(LinkGauge, knows_the_best_second_of_ten) {
  const util::SteadyTime start{std::chrono::hours(1)};
  const auto at = [&](int ms) { return start + milliseconds(ms); };
  util::LinkGauge gauge;
  EXPECT_EQ(gauge.best(start), 0);
  EXPECT_FALSE(gauge.full(start)) << "nothing comes";
  for (int ms = 0; ms < 2'000; ms += 50) gauge.arrived(50'000, at(ms));
  EXPECT_EQ(gauge.best(at(2'000)), 1e6);
  EXPECT_TRUE(gauge.full(at(2'000)));
  for (int ms = 2'000; ms < 4'000; ms += 50) gauge.arrived(26'000, at(ms));
  EXPECT_EQ(gauge.best(at(4'000)), 1e6);
  EXPECT_TRUE(gauge.full(at(4'000))) << "half is as good as all";
  for (int ms = 4'000; ms < 6'000; ms += 50) gauge.arrived(20'000, at(ms));
  EXPECT_FALSE(gauge.full(at(6'000))) << "somebody could send more";
  EXPECT_EQ(gauge.best(at(11'000)), 1e6);
  EXPECT_EQ(gauge.best(at(13'000)), 520'000) << "the first two seconds are forgotten";
  EXPECT_EQ(gauge.best(at(60'000)), 0);
}

TEST(LinkGauge, is_known_once_something_came_three_seconds_ago) {
  const util::SteadyTime start{std::chrono::hours(1)};
  const auto at = [&](int ms) { return start + milliseconds(ms); };
  util::LinkGauge gauge;
  EXPECT_EQ(gauge.known(start), 0);
  for (int ms = 0; ms < 2'000; ms += 50) gauge.arrived(50'000, at(ms));
  EXPECT_EQ(gauge.known(at(2'900)), 0);
  EXPECT_EQ(gauge.known(at(3'000)), 1e6);
  EXPECT_EQ(gauge.known(at(10'000)), 1e6);
  EXPECT_EQ(gauge.known(at(12'000)), 0) << "it came too long ago";
}

TEST(LinkGauge, a_trickle_does_not_fill_a_link) {
  const util::SteadyTime start{std::chrono::hours(1)};
  util::LinkGauge gauge;
  for (int ms = 0; ms < 2'000; ms += 50) gauge.arrived(1'000, start + milliseconds(ms));
  EXPECT_EQ(gauge.best(start + milliseconds(2'000)), 20'000);
  EXPECT_FALSE(gauge.full(start + milliseconds(2'000)));
}

class InflowTest : public FetchTest {
 protected:
  std::shared_ptr<Layer> other_layer() {
    return fetcher_->open({util::Sha256::of(util::as_bytes("another")), kSize, {}});
  }
  util::Operation pull(const std::shared_ptr<Layer>& layer) {
    return fetcher_->bring_in(layer, Class::pull, [this](const util::Outcome<util::Done>& outcome) {
      EXPECT_TRUE(outcome);
      ++ended_;
    });
  }
  /// Bytes that the source was asked for and that did not end yet, as far as there are `requests`.
  [[nodiscard]] uint64_t asked_bytes() const {
    uint64_t sum = 0;
    for (size_t id = 0; id < source_.requests(); ++id) sum += source_.asked(id).length;
    return sum;
  }
  std::atomic<int> ended_ = 0;
};

TEST_F(InflowTest, all_layers_share_it_fairly) {
  start();
  const auto other = other_layer();
  const auto one = pull(layer_), two = pull(other);
  EXPECT_EQ(asked_bytes(), 6 * kMib) << "however many layers";
  const auto before = source_.requests();
  for (const auto& layer : source_.asked_of()) EXPECT_EQ(layer.digest, layer_->ref().digest);
  source_.answer(0, UINT64_MAX);
  ASSERT_EQ(source_.requests(), before + 1) << "as much as came";
  EXPECT_EQ(source_.asked_of().back().digest, other->ref().digest) << "which has nothing yet";
  for (size_t id = 1; id < source_.requests(); ++id) source_.answer(id, UINT64_MAX);
  await([&] { return ended_ == 2; });
  EXPECT_EQ(asked_bytes(), 2 * kSize) << "each byte once";
}

TEST_F(InflowTest, a_fault_does_not_wait_for_room) {
  start();
  const auto other = other_layer();
  const auto one = pull(other), two = pull(layer_);
  const auto before = source_.requests();
  auto fault = read({6 * kMib, 100});  // inside what waits
  ASSERT_EQ(source_.requests(), before + 1);
  EXPECT_EQ(source_.context(before).cls, Class::fault);
  source_.answer(before, UINT64_MAX);
  expect_bytes(fault, {6 * kMib, 100});
}

TEST_F(InflowTest, what_a_peer_waits_for_goes_at_once_and_to_the_registry) {
  start_with_peer();
  const auto other = other_layer();
  const auto one = pull(other), two = pull(layer_);  // from peers
  const auto before = peer_.requests();
  ASSERT_EQ(source_.requests(), 0u);
  auto relayed =
      read({0, 100}, chunk::FetchContext{Class::pull, util::SteadyTime::max(), "", true});
  EXPECT_EQ(peer_.requests(), before);
  ASSERT_EQ(source_.requests(), 1u);
  source_.answer(0, UINT64_MAX);
  expect_bytes(relayed, {0, 100});
}

TEST_F(InflowTest, what_is_dropped_makes_room) {
  start();
  const auto other = other_layer();
  const auto one = pull(other), two = pull(layer_);
  const auto before = source_.requests();
  other->discard("because");
  await([&] { return source_.requests() > before; });
  EXPECT_EQ(source_.asked_of().at(before).digest, layer_->ref().digest);
}

TEST_F(InflowTest, who_is_silent_keeps_others_waiting_for_a_while_only) {
  start();
  const auto other = other_layer();
  const auto one = pull(other);
  const auto silent = source_.requests();
  const auto two = pull(layer_);
  await([&] {
    for (size_t id = silent; id < source_.requests(); ++id) source_.answer(id, UINT64_MAX);
    return ended_ == 1;
  });
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), kSize);
}

TEST_F(InflowTest, a_pause_makes_room_for_what_goes_on) {
  start();
  const auto other = other_layer();
  const auto filling = fetcher_->bring_in(other, Class::backfill, [](const auto&) {});
  const auto backfill = source_.requests();
  ASSERT_EQ(backfill, 3u);
  auto fault = read({0, 100});
  EXPECT_EQ(source_.paused(), 3u);
  const auto pulling = pull(layer_);
  uint64_t pulled = 0;
  for (size_t id = backfill; id < source_.requests(); ++id) pulled += source_.asked(id).length;
  EXPECT_GE(pulled, 6 * kMib) << "as if nothing else were on its way";
}

TEST_F(InflowTest, our_share_comes_first_beside_what_others_bring) {
  FetchOptions options;
  options.pull_transfers = 1;
  start_with_peer(options);
  const auto to_chunk_end = [](util::ByteRange range) {
    return chunk::Plan{kShare - range.offset % kShare};
  };
  source_.set_planner(to_chunk_end);
  peer_.set_planner([&](util::ByteRange range) -> std::optional<chunk::Plan> {
    if (range.offset / kShare % 4 == 1) return std::nullopt;  // ours
    return to_chunk_end(range);
  });
  const auto chunks = [](const support::FakeSource& source) {
    std::vector<uint64_t> made;
    for (size_t id = 0; id < source.requests(); ++id)
      made.push_back(source.asked(id).offset / kShare);
    return made;
  };
  const auto pulling = pull(layer_);
  EXPECT_EQ(chunks(source_), (std::vector<uint64_t>{1})) << "as it comes";
  EXPECT_EQ(chunks(peer_), (std::vector<uint64_t>{0, 2, 3, 4, 6, 7})) << "ours is passed over";
  source_.answer(0, UINT64_MAX);
  EXPECT_EQ(chunks(source_), (std::vector<uint64_t>{1, 5, 9}));
  peer_.answer(0, UINT64_MAX);
  EXPECT_EQ(chunks(peer_).back(), 8u);
  while (source_.open() + peer_.open() > 0) {
    source_.answer_all();
    peer_.answer_all();
  }
  await([&] { return ended_ == 1; });
  EXPECT_EQ(source_.requests(), 8u) << "each byte once";
  EXPECT_EQ(layer_->bytes_by_source().at("registry"), 8 * kShare);
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), kSize - 8 * kShare);
}

TEST_F(InflowTest, our_share_comes_first_too_where_peers_have_it) {
  FetchOptions options;
  options.pull_transfers = 1;
  start_with_peer(options);
  peer_.set_planner([](util::ByteRange range) {
    chunk::Plan plan{kShare - range.offset % kShare};
    plan.ours = range.offset / kShare % 4 == 1;
    return plan;
  });
  const auto pulling = pull(layer_);
  std::vector<uint64_t> chunks;
  for (size_t id = 0; id < peer_.requests(); ++id)
    chunks.push_back(peer_.asked(id).offset / kShare);
  EXPECT_EQ(chunks, (std::vector<uint64_t>{1, 5, 9, 13, 0, 2, 3, 4}));
  while (peer_.open() > 0) peer_.answer_all();
  await([&] { return ended_ == 1; });
  EXPECT_EQ(layer_->bytes_by_source().at("peer"), kSize);
  EXPECT_EQ(source_.requests(), 0u);
}

/// Our share, in chunks of which every fourth is ours, is wanted by others as well.
class ShareTest : public InflowTest {
 protected:
  void start_in_crowd() {
    start_with_peer();
    source_.set_planner(to_chunk_end);
    peer_.set_has([](util::ByteRange) { return false; });
    peer_.set_planner([](util::ByteRange range) -> std::optional<chunk::Plan> {
      if (range.offset / kShare % 4 == 1) return std::nullopt;
      return to_chunk_end(range);
    });
  }
  static std::optional<chunk::Plan> to_chunk_end(util::ByteRange range) {
    return chunk::Plan{kShare - range.offset % kShare};
  }
  Read read_for_peer(uint64_t chunk) {
    return read({chunk * kShare, kShare},
                chunk::FetchContext{Class::pull, util::SteadyTime::max(), "", true});
  }
};

TEST_F(ShareTest, it_is_asked_for_as_it_comes) {
  start_in_crowd();
  const auto other = other_layer();
  const auto one = pull(layer_), two = pull(other);
  ASSERT_EQ(asked_bytes(), SharePace::kLeast) << "of all layers";
  source_.answer(0, UINT64_MAX);
  EXPECT_EQ(asked_bytes(), SharePace::kLeast + 2 * kShare) << "it came at once: more may be asked";
  while (source_.open() + peer_.open() > 0) {
    source_.answer_all();
    peer_.answer_all();
  }
  await([&] {
    source_.answer_all();
    peer_.answer_all();
    return ended_ == 2;
  });
  EXPECT_EQ(asked_bytes(), 16 * kShare) << "a quarter of two layers, each byte once";
}

TEST_F(ShareTest, what_a_peer_waits_for_comes_first_of_it_and_is_said_to_be_coming) {
  start_in_crowd();
  const auto pulling = pull(layer_);
  const auto before = source_.requests();
  ASSERT_EQ(asked_bytes(), SharePace::kLeast);
  auto relayed = read_for_peer(29);
  EXPECT_EQ(source_.requests(), before) << "not at once";
  const auto coming = fetcher_->coming(*layer_);
  EXPECT_TRUE(std::any_of(coming.begin(), coming.end(), [](const auto& blocks) {
    return blocks.first * chunk::kBlockSize <= 29 * kShare &&
           29 * kShare < blocks.end() * chunk::kBlockSize;
  }));
  source_.answer(0, UINT64_MAX);
  ASSERT_GT(source_.requests(), before);
  EXPECT_EQ(source_.asked(before).offset, 29 * kShare);
  source_.answer(before, UINT64_MAX);
  expect_bytes(relayed, {29 * kShare, kShare});
}

TEST_F(ShareTest, a_reader_of_what_a_peer_waits_for_does_not_wait) {
  start_in_crowd();
  const auto pulling = pull(layer_);
  const auto before = source_.requests();
  auto relayed = read_for_peer(29);
  auto fault = read({29 * kShare, 100});
  ASSERT_EQ(source_.requests(), before + 1);
  source_.answer(before, UINT64_MAX);
  expect_bytes(fault, {29 * kShare, 100});
  expect_bytes(relayed, {29 * kShare, kShare});
}

TEST_F(ShareTest, peers_do_not_stand_in_line_with_any_amount) {
  start_in_crowd();
  const auto pulling = pull(layer_);
  std::vector<Read> reads;
  for (uint64_t chunk = 14; chunk < 18; ++chunk) {
    EXPECT_TRUE(fetcher_->may_relay());
    reads.push_back(read_for_peer(chunk));
  }
  EXPECT_FALSE(fetcher_->may_relay());
  for (int i = 0; i < 16; ++i) source_.answer_all();
  EXPECT_TRUE(fetcher_->may_relay());
}

TEST_F(ShareTest, a_pass_without_peers_over_what_nobody_else_wants_goes_at_once) {
  start_in_crowd();
  peer_.set_wanted(0);  // as among too many
  std::vector<Read> reads;
  for (uint64_t chunk = 0; chunk < 8; ++chunk) reads.push_back(read_for_peer(chunk));
  EXPECT_EQ(source_.requests(), 8u);
  source_.answer_all();
  for (uint64_t chunk = 0; chunk < 8; ++chunk) expect_bytes(reads[chunk], {chunk * kShare, kShare});
}

TEST_F(ShareTest, little_is_asked_for_at_once_of_what_others_have_yet_to_bring) {
  start_in_crowd();
  peer_.set_planner(to_chunk_end);
  std::atomic<bool> there = false;
  peer_.set_has([&](util::ByteRange) { return there.load(); });
  std::vector<Read> reads;
  for (uint64_t chunk = 0; chunk < 16; ++chunk)
    reads.push_back(read({chunk * kShare, kShare}, Class::pull));
  EXPECT_EQ(peer_.requests(), inflow_limit(0, false).waits / kShare);
  there = true;
  await([&] { return peer_.requests() == 16; });
  peer_.answer_all();
  for (uint64_t chunk = 0; chunk < 16; ++chunk)
    expect_bytes(reads[chunk], {chunk * kShare, kShare});
}

TEST_F(InflowTest, who_supplies_is_told_whether_the_link_is_full) {
  start();
  auto one = read({0, 1 << 20}, Class::pull);
  const auto congested = source_.context(0).congested;
  ASSERT_TRUE(congested);
  EXPECT_FALSE(congested());
  uint64_t at = kMib;
  await([&] {  // several times in each second, for more than one
    auto more = read({at, 16'384}, Class::pull);
    source_.answer(source_.requests() - 1, UINT64_MAX);
    at = std::min<uint64_t>(at + 16'384, 8 * kMib - 16'384);
    std::this_thread::sleep_for(milliseconds(9));
    return congested();
  });
  await([&] { return !congested(); });
}

}  // namespace
}  // namespace swarmfs::fetch
