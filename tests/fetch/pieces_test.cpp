// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "fetch/block_assembler.h"
#include "fetch/hedge.h"
#include "fetch/provenance.h"
#include "fetch/request_times.h"
#include "support/tar_maker.h"

namespace swarmfs::fetch {
namespace {

using std::chrono::milliseconds;
using util::SteadyTime;

TEST(BlockAssembler, gives_whole_blocks_whatever_the_pieces) {
  const uint64_t size = 5 * chunk::kBlockSize + 77;
  const std::string content = support::noise(size, 3);
  const util::ByteRange range{chunk::kBlockSize, size - chunk::kBlockSize};
  for (const size_t piece : {1ul, 1000ul, 16'383ul, 16'384ul, 16'385ul, 40'000ul, 1'000'000ul}) {
    BlockAssembler blocks(range);
    std::string got;
    uint64_t index = 1;
    for (size_t at = range.offset; at < size; at += piece) {
      auto view = util::as_bytes(std::string_view(content).substr(at, piece));
      while (const auto block = blocks.next(view)) {
        EXPECT_EQ(block->index, index++);
        EXPECT_EQ(block->bytes.size(), block->index == 5 ? 77 : chunk::kBlockSize);
        got += util::as_text(block->bytes);
      }
      EXPECT_TRUE(view.empty());
    }
    EXPECT_TRUE(got == content.substr(range.offset)) << piece;
    EXPECT_TRUE(blocks.complete());
  }
}

TEST(BlockAssembler, leaves_what_nobody_asked_for) {
  const std::string content = support::noise(chunk::kBlockSize + 5, 3);
  BlockAssembler blocks({0, chunk::kBlockSize});
  auto view = util::as_bytes(content);
  EXPECT_TRUE(blocks.next(view));
  EXPECT_FALSE(blocks.next(view));
  EXPECT_TRUE(blocks.complete());
  EXPECT_EQ(view.size(), 5u);
}

TEST(Hedge, is_due_after_a_silence_that_is_not_our_own) {
  const SteadyTime zero{};
  const auto at = [&](int ms) { return zero + milliseconds(ms); };
  constexpr auto kNever = util::Duration::max();
  const struct {
    int now, progress;
    util::Duration hedge;
    bool paused;
    SteadyTime due;
  } table[] = {
      {100, 100, milliseconds(20), false, at(120)}, {119, 100, milliseconds(20), false, at(120)},
      {200, 100, milliseconds(20), false, at(120)}, {200, 100, milliseconds(20), true, at(220)},
      {200, 100, milliseconds(0), false, at(100)},  {200, 100, kNever, false, SteadyTime::max()},
      {200, 100, kNever, true, SteadyTime::max()},
  };
  for (const auto& row : table)
    EXPECT_EQ(hedge_due(at(row.now), at(row.progress), row.hedge, row.paused), row.due);
}

TEST(Hedge, of_what_comes_in_turns_is_due_after_a_silence_of_all) {
  const SteadyTime zero{};
  const auto due = [&](int own, std::optional<int> all) {
    const auto at = [&](int ms) { return zero + milliseconds(ms); };
    return (hedge_due(at(500), at(own), milliseconds(20), false,
                      all ? std::optional(at(*all)) : std::nullopt) -
            zero) /
           milliseconds(1);
  };
  EXPECT_EQ(due(100, {}), 120);
  EXPECT_EQ(due(100, 400), 420);
  EXPECT_EQ(due(100, 50), 120) << "it was asked for after the last that came";
}

TEST(RequestTimes, are_the_last_ones_and_those_that_take_longer) {
  const auto at = [](int ms) { return SteadyTime() + milliseconds(ms); };
  RequestTimes times;
  EXPECT_EQ(times.takes(at(0)), util::Duration());
  const auto one = times.begins(at(0)), other = times.begins(at(1'000));
  EXPECT_EQ(times.takes(at(3'000)), milliseconds(3'000)) << "the eldest";
  EXPECT_EQ(times.patience(at(3'000)), milliseconds(6'000));
  times.ends(one, true, at(4'000));
  EXPECT_EQ(times.takes(at(4'000)), milliseconds(4'000));
  EXPECT_EQ(times.takes(at(9'000)), milliseconds(8'000)) << "that is on its way";
  times.ends(other, true, at(10'000));
  EXPECT_EQ(times.takes(at(10'000)), milliseconds(5'000)) << "smoothed";
  const auto failed = times.begins(at(11'000));
  times.ends(failed, false, at(40'000));
  times.ends(failed, true, at(41'000));
  EXPECT_EQ(times.takes(at(41'000)), milliseconds(5'000)) << "its end says nothing";
  EXPECT_EQ(times.takes(at(71'000)), util::Duration()) << "long ago";
  times.begins(at(100'000));
  EXPECT_EQ(times.patience(at(900'000)), std::chrono::minutes(2)) << "at most";
}

TEST(RequestTimes, are_not_those_of_one_that_hangs_while_others_pass) {
  const auto at = [](int ms) { return SteadyTime() + milliseconds(ms); };
  RequestTimes times;
  const auto hangs = times.begins(at(0)), passes = times.begins(at(1'000));
  times.begins(at(2'000));
  times.ends(passes, true, at(3'000));
  EXPECT_EQ(times.takes(at(9'000)), milliseconds(7'000)) << "the last one's";
  times.ends(hangs, true, at(9'000));
  EXPECT_EQ(times.takes(at(9'000)), milliseconds(7'000));
}

TEST(Provenance, convicts_the_liars_and_nobody_else) {
  const std::string right = support::noise(4 * chunk::kBlockSize, 3);
  chunk::HashTreeBuilder builder;
  builder.feed(util::as_bytes(right));
  const chunk::HashTree tree = builder.finish();
  const util::Digest wrong = util::Sha256::of(util::as_bytes("wrong"));
  const Supplier honest{0, "honest"}, liar{0, "liar"};

  Provenance provenance(4);
  provenance.came_from_peer(0, honest, tree.leaves()[0]);
  provenance.came_from_peer(1, liar, wrong);
  provenance.came_from_peer(2, liar, tree.leaves()[2]);
  provenance.came_from_peer(3, liar, wrong);
  provenance.came_from_peer(3, honest, tree.leaves()[3]);
  provenance.came_from_registry(2);
  provenance.came_from_registry(3);
  EXPECT_EQ(provenance.suppliers().size(), 2u);
  EXPECT_EQ(provenance.unproven(), (std::vector<chunk::BlockRange>{{2, 2}}));
  const std::vector<Provenance::Lie> lies{{1, liar}, {3, liar}};
  EXPECT_EQ(provenance.lies(tree), lies);

  EXPECT_FALSE(provenance.is_alone(honest));
  provenance.discarded();
  EXPECT_TRUE(provenance.suppliers().empty());
  EXPECT_TRUE(provenance.unproven().empty());
  EXPECT_EQ(provenance.lies(tree), lies);
  provenance.clear();
  EXPECT_TRUE(provenance.lies(tree).empty());
}

TEST(Provenance, is_sure_of_one_supplier_only_where_nothing_is_of_an_earlier_run) {
  const Supplier one{0, "one"};
  const util::Digest leaf = util::Sha256::of(util::as_bytes("leaf"));
  Provenance provenance(4);
  provenance.came_from_peer(0, one, leaf);
  EXPECT_TRUE(provenance.is_alone(one));
  EXPECT_FALSE(provenance.is_alone({0, "another"}));
  provenance.inherit();
  EXPECT_FALSE(provenance.is_alone(one));
  provenance.discarded();
  provenance.came_from_peer(0, one, leaf);
  EXPECT_TRUE(provenance.is_alone(one));
}

}  // namespace
}  // namespace swarmfs::fetch
