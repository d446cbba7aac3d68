// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/coming_times.h"

#include <gtest/gtest.h>

#include "swarm/layer_views.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ComingTimesTest : public testing::Test {
 protected:
  /// What it had on its way before is here now.
  void told(char peer, const std::vector<uint64_t>& chunks) {
    times_.told(
        peer, chunks, [](uint64_t) { return true; }, now_);
  }
  [[nodiscard]] bool late(char peer, uint64_t chunk) const {
    return times_.is_late(peer, chunk, chunk + 1);
  }
  /// `peer` brings so many chunks, one after another, and more are to come.
  void brings(char peer, uint64_t count, util::Duration each) {
    for (uint64_t chunk = 0; chunk < count; ++chunk) {
      told(peer, {chunk, chunk + 1});
      now_ += each;
    }
    told(peer, {count});
  }

  util::SteadyTime now_{seconds(1000)};
  ComingTimes<char> times_;
};

TEST_F(ComingTimesTest, late_is_what_takes_far_longer_at_one_than_at_others) {
  told('x', {7, 8});
  brings('a', 10, seconds(2));
  told('x', {7, 8});
  EXPECT_TRUE(late('x', 7)) << "for 20 s, where 6 are usual at most";
  EXPECT_TRUE(late('x', 8));
  EXPECT_FALSE(late('x', 9)) << "it does not bring that";
  EXPECT_FALSE(late('a', 10));
  EXPECT_TRUE(times_.is_late('x', 0, 8)) << "one of them";
  EXPECT_FALSE(times_.is_late('x', 0, 7));
}

TEST_F(ComingTimesTest, nothing_is_late_within_five_seconds_however_fast_others_are) {
  told('x', {1});
  brings('a', 500, milliseconds(10));
  told('x', {1});
  EXPECT_FALSE(late('x', 1));
  brings('a', 1, milliseconds(10));
  told('x', {1});
  EXPECT_TRUE(late('x', 1));
}

TEST_F(ComingTimesTest, what_came_to_nothing_tells_nothing) {
  const auto fails = [&](char peer, uint64_t chunk) {
    times_.told(
        peer, {1, chunk}, [](uint64_t) { return false; }, now_);
  };
  for (uint64_t chunk = 2; chunk < 12; ++chunk, now_ += seconds(1)) {
    fails('x', chunk);
    EXPECT_FALSE(late('x', 1)) << "nothing came anywhere";
  }
  brings('a', 2, seconds(1));
  fails('x', 12);
  EXPECT_TRUE(late('x', 1)) << "its failures do not count";
}

TEST_F(ComingTimesTest, nothing_is_late_before_anything_came) {
  told('x', {1});
  told('y', {2});
  now_ += seconds(100);
  told('x', {1});
  EXPECT_FALSE(late('x', 1));
}

TEST_F(ComingTimesTest, nothing_is_late_while_nothing_comes_anywhere) {
  told('x', {1});
  brings('a', 4, seconds(1));
  now_ += seconds(100);
  told('x', {1});
  told('a', {4});
  EXPECT_FALSE(late('x', 1)) << "the registry is silent";
  EXPECT_FALSE(late('a', 4));
  now_ += seconds(1);
  told('a', {5});
  EXPECT_TRUE(late('x', 1)) << "others go on, it does not";
  told('a', {});
  EXPECT_TRUE(late('x', 1)) << "it is the last one";
}

TEST_F(ComingTimesTest, nothing_is_late_that_a_peer_was_silent_about) {
  told('x', {1});
  brings('a', 10, seconds(1));
  EXPECT_FALSE(late('x', 1));
  told('x', {1});
  EXPECT_TRUE(late('x', 1));
}

TEST_F(ComingTimesTest, a_crowd_that_is_slow_together_is_not_late) {
  const std::vector<char> peers{'x', 'y', 'z'};
  for (uint64_t turn = 0; turn < 30; ++turn, now_ += seconds(25))
    for (uint64_t i = 0; i < peers.size(); ++i) {
      const uint64_t chunk = (turn + i) / 3;
      told(peers[i], {chunk, chunk + 1, chunk + 2});
      EXPECT_FALSE(late(peers[i], chunk)) << turn << peers[i];
      EXPECT_FALSE(late(peers[i], chunk + 2)) << turn << peers[i];
    }
}

TEST_F(ComingTimesTest, what_stands_in_line_behind_others_of_the_peer_is_not_late) {
  std::vector<uint64_t> line{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  while (line.size() > 1) {
    told('x', line);
    now_ += seconds(4);
    line.erase(line.begin());
    told('x', line);
    EXPECT_FALSE(late('x', 9)) << line.size();
  }
  now_ += seconds(13);
  told('x', line);
  EXPECT_TRUE(late('x', 9));
}

TEST_F(ComingTimesTest, of_who_is_gone_nothing_is_known) {
  told('x', {1});
  brings('a', 10, seconds(1));
  told('x', {1});
  EXPECT_TRUE(late('x', 1));
  times_.gone('x');
  EXPECT_FALSE(late('x', 1));
  told('x', {1});
  EXPECT_FALSE(late('x', 1)) << "it began anew";
}

class LateViews : public testing::TestWithParam<uint64_t> {
 protected:
  LateViews() { views_.interest(layer_, now_); }
  /// The peer says that it has the first eight chunks, and of these some blocks on their way.
  void hears(const Endpoint& peer, std::vector<chunk::BlockRange> coming) {
    LayerNews said{.size = layer_.size, .wants = true, .blocks = BlockSet(16 * each_)};
    said.blocks.add({0, 8 * each_});
    said.coming = std::move(coming);
    News news;
    news.layers.emplace(layer_.digest, std::move(said));
    views_.heard(peer, "docker.io/library/nginx", {layer_.digest}, news, now_, peer.address);
  }
  [[nodiscard]] bool holds(const Endpoint& peer, chunk::BlockRange blocks) const {
    for (const auto& member : views_.members(layer_.digest, blocks, now_))
      if (member.endpoint == peer) return member.holds;
    return false;
  }

  const uint64_t each_ = GetParam() / chunk::kBlockSize;  ///< blocks of a chunk
  const Endpoint slow_{"10.0.0.1", 1}, fast_{"10.0.0.2", 1};
  const chunk::LayerRef layer_{
      util::Sha256::of(util::as_bytes("layer")), 16 * GetParam(), {{"docker.io", "library/nginx"}}};
  util::SteadyTime now_{seconds(1000)};
  LayerViews views_;
};
INSTANTIATE_TEST_SUITE_P(Chunks, LateViews, testing::Values(256 << 10, 8 << 20));

TEST_P(LateViews, tell_what_a_holder_has_from_what_is_on_its_way_to_it) {
  hears(slow_, {{6 * each_, 2}});
  const auto coming = [&](chunk::BlockRange blocks) {
    const auto members = views_.members(layer_.digest, blocks, now_);
    return members.size() == 1 && members[0].holds && members[0].coming;
  };
  EXPECT_TRUE(coming({6 * each_, 1}));
  EXPECT_FALSE(coming({5 * each_, 1}));
}

TEST_P(LateViews, do_not_count_a_peer_as_holder_of_what_is_late_there) {
  const uint64_t step = chunk::chunk_size(layer_.size) / chunk::kBlockSize;
  const chunk::BlockRange late{6 * each_ + 1, 2}, around{6 * each_, step};
  hears(slow_, {late});
  for (uint64_t i = 0; i < 7; ++i) {
    EXPECT_TRUE(holds(slow_, around)) << "it is on its way, " << i;
    hears(fast_, {{i * step, 2 * step}});
    hears(slow_, {late});
    now_ += seconds(1);
  }
  EXPECT_FALSE(holds(slow_, around));
  EXPECT_FALSE(holds(slow_, late));
  EXPECT_TRUE(holds(slow_, {6 * each_, 1})) << "that is there";
  EXPECT_TRUE(holds(slow_, {7 * each_, each_})) << "likewise";
  hears(slow_, {});
  EXPECT_TRUE(holds(slow_, around)) << "it came";
}

TEST_P(LateViews, know_nothing_of_what_a_peer_that_refuses_had_on_its_way) {
  hears(slow_, {{0, 1}});
  const uint64_t step = chunk::chunk_size(layer_.size) / chunk::kBlockSize;
  for (uint64_t i = 0; i < 7; ++i, now_ += seconds(1)) {
    hears(fast_, {{i * step, 2 * step}});
    views_.heard(slow_, "docker.io/library/nginx", {layer_.digest}, {}, now_, "slow");
    hears(slow_, {{0, 1}});
  }
  EXPECT_TRUE(holds(slow_, {0, 1})) << "it may have begun anew";
}

}  // namespace
}  // namespace swarmfs::swarm
