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
  void told(char peer, const std::vector<uint64_t>& chunks) { times_.told(peer, chunks, now_); }
  [[nodiscard]] bool late(char peer, uint64_t chunk) const {
    return times_.is_late(peer, chunk, chunk + 1, now_);
  }
  /// `peer` brings so many chunks, one after another, each within `each`.
  void brings(char peer, uint64_t count, util::Duration each) {
    for (uint64_t chunk = 0; chunk < count; ++chunk) {
      told(peer, {chunk, chunk + 1});
      now_ += each;
    }
    told(peer, {});
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
  EXPECT_FALSE(late('a', 7));
  EXPECT_TRUE(times_.is_late('x', 0, 8, now_)) << "one of them";
  EXPECT_FALSE(times_.is_late('x', 0, 7, now_));
}

TEST_F(ComingTimesTest, nothing_is_late_within_five_seconds_however_fast_others_are) {
  brings('a', 100, milliseconds(10));
  told('x', {1});
  now_ += seconds(5);
  EXPECT_FALSE(late('x', 1));
  now_ += milliseconds(1);
  EXPECT_TRUE(late('x', 1));
}

TEST_F(ComingTimesTest, nothing_is_late_before_anything_came) {
  told('x', {1});
  told('y', {2});
  now_ += seconds(100);
  EXPECT_FALSE(late('x', 1));
}

TEST_F(ComingTimesTest, a_crowd_that_is_slow_together_is_not_late) {
  for (uint64_t chunk = 0; chunk < 10; ++chunk) {
    for (const char peer : {'x', 'y', 'z'}) told(peer, {chunk, chunk + 1, chunk + 2});
    now_ += seconds(15);
    for (const char peer : {'x', 'y', 'z'}) EXPECT_FALSE(late(peer, chunk)) << peer << chunk;
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
  EXPECT_TRUE(late('x', 9));
}

TEST_F(ComingTimesTest, of_who_is_gone_nothing_is_known) {
  told('x', {1});
  brings('a', 10, seconds(1));
  EXPECT_TRUE(late('x', 1));
  times_.gone('x');
  EXPECT_FALSE(late('x', 1));
  told('x', {1});
  EXPECT_FALSE(late('x', 1)) << "it began anew";
}

constexpr uint64_t kMiB = (1 << 20) / chunk::kBlockSize;  // blocks

class LateViews : public testing::Test {
 protected:
  LateViews() { views_.interest(layer_, now_); }
  /// The peer says that it has the first 8 MiB, and of these some on their way.
  void hears(const Endpoint& peer, std::vector<chunk::BlockRange> coming) {
    LayerNews said{.size = layer_.size, .wants = true, .blocks = BlockSet(16 * kMiB)};
    said.blocks.add({0, 8 * kMiB});
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

  const Endpoint slow_{"10.0.0.1", 1}, fast_{"10.0.0.2", 1};
  const chunk::LayerRef layer_{
      util::Sha256::of(util::as_bytes("layer")), 16 << 20, {{"docker.io", "library/nginx"}}};
  util::SteadyTime now_{seconds(1000)};
  LayerViews views_;
};

TEST_F(LateViews, do_not_count_a_peer_as_holder_of_what_is_late_there) {
  const chunk::BlockRange late{2 * kMiB + 1, 2}, around{2 * kMiB, kMiB};
  hears(slow_, {late});
  for (uint64_t i = 0; i < 5; ++i) {
    hears(fast_, {{i * kMiB, 2 * kMiB}});
    EXPECT_TRUE(holds(slow_, around)) << "it is on its way";
    now_ += seconds(1);
    hears(slow_, {late});
  }
  now_ += milliseconds(1);
  EXPECT_FALSE(holds(slow_, around));
  EXPECT_FALSE(holds(slow_, late));
  EXPECT_TRUE(holds(slow_, {2 * kMiB, 1})) << "that is there";
  EXPECT_TRUE(holds(slow_, {3 * kMiB, kMiB})) << "likewise";
  hears(slow_, {});
  EXPECT_TRUE(holds(slow_, around)) << "it came";
}

TEST_F(LateViews, have_those_asked_soon_whom_the_dht_names_after_those_whom_peers_name) {
  const Endpoint other{"10.0.0.3", 1};
  views_.may_have(layer_.digest, slow_);
  ASSERT_TRUE(views_.named(layer_.digest, "node", other));
  const auto to_ask = views_.to_ask(layer_.digest);
  EXPECT_TRUE(to_ask.at(slow_).named);
  EXPECT_TRUE(to_ask.at(other).named);
  EXPECT_GT(to_ask.at(slow_).weight, 0u) << "or it would wait for its turn";
  EXPECT_LT(to_ask.at(slow_).weight, to_ask.at(other).weight);
}

}  // namespace
}  // namespace swarmfs::swarm
