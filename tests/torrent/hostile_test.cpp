// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "members.h"
#include "torrent_fixture.h"

namespace swarmfs::torrent_test {

TEST(HostileTorrent, a_liar_is_found_out_by_its_first_wrong_block_and_ended) {
  const Subject subject((4 << 20) + 9);
  Node seed("127.0.0.21"), node("127.0.0.22"), liar("127.0.0.23");
  std::string lies = subject.content;
  for (size_t at = 0; at < lies.size(); at += 16 * chunk::kBlockSize) lies[at] ^= 0x55;
  seed.take(subject, true);
  liar.take(subject, true);
  liar.stored().put(lies);
  node.take(subject, false, {liar.endpoint()});
  node.want_all();
  ASSERT_TRUE(await([&] { return !node.liars().empty(); }));
  node.session().connect(node.layer(), {seed.endpoint()});
  ASSERT_TRUE(await([&] { return node.complete() && node.came() == node.layer()->pieces(); }));
  EXPECT_TRUE(node.stored().content() == subject.content);
  node.expect_right(subject);
  for (const auto& named : node.liars()) EXPECT_EQ(named, "127.0.0.23");
  EXPECT_FALSE(node.layer()->availability.is_connected("127.0.0.23"));
}

TEST(HostileTorrent, members_of_one_cluster_meet_under_tls) {
  const Subject subject((2 << 20) + 100);
  const auto token = cluster::Token::make();
  const Member first = member_of(token), second = member_of(token);
  ASSERT_EQ(first.ca_pem, second.ca_pem);
  Node seed("127.0.0.21", first.material, first.ca_pem);
  Node node("127.0.0.22", second.material, second.ca_pem);
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  node.want_all();
  ASSERT_TRUE(await([&] { return node.complete(); }));
  EXPECT_TRUE(node.stored().content() == subject.content);
}

TEST(HostileTorrent, strangers_and_other_clusters_get_and_give_nothing) {
  const Subject subject(1 << 20);
  const auto token = cluster::Token::make();
  const Member ours = member_of(token), friendly = member_of(token);
  const Member foreign = member_of(cluster::Token::make());
  Node seed("127.0.0.21", ours.material, ours.ca_pem);
  // It knows the swarm's id and lacks only a certificate of ours.
  Node thief("127.0.0.23", foreign.material, ours.ca_pem);
  Node other("127.0.0.24", foreign.material, foreign.ca_pem);
  Node plain("127.0.0.25", {}, ours.ca_pem);
  seed.take(subject, true);
  for (Node* stranger : {&thief, &other, &plain}) {
    stranger->take(subject, false, {seed.endpoint()});
    stranger->want_all();
    seed.session().connect(seed.layer(), {stranger->endpoint()});
  }
  // By the time a member has it all, strangers had the same time.
  Node node("127.0.0.22", friendly.material, friendly.ca_pem);
  node.take(subject, false, {seed.endpoint()});
  node.want_all();
  ASSERT_TRUE(await([&] { return node.complete(); }));
  EXPECT_TRUE(node.stored().content() == subject.content);
  for (Node* stranger : {&thief, &other, &plain}) {
    EXPECT_EQ(stranger->stored().bytes_present(), 0);
    EXPECT_EQ(stranger->came(), 0);
  }
  EXPECT_EQ(seed.meters().sent.value(), static_cast<double>(subject.ref.size));
}

}  // namespace swarmfs::torrent_test
