// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_reads.h"
#include "torrent_fixture.h"

namespace swarmfs::torrent_test {

TEST(TorrentExchange, carries_a_layer_from_store_to_store) {
  const Subject subject((5 << 20) + 123);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  node.want_all();
  ASSERT_TRUE(await([&] { return node.complete() && node.came() == node.layer()->pieces(); }));
  EXPECT_TRUE(node.stored().content() == subject.content);
  node.expect_right(subject);
  EXPECT_EQ(node.stored().written(), subject.ref.size) << "each byte once";
  EXPECT_EQ(seed.stored().written(), 0);
  EXPECT_EQ(node.meters().received.value(), static_cast<double>(subject.ref.size));
  EXPECT_EQ(seed.meters().sent.value(), static_cast<double>(subject.ref.size));
  EXPECT_EQ(node.meters().stored.value(), node.layer()->pieces());
}

TEST(TorrentExchange, reads_the_store_by_stretches) {
  const Subject subject(2 << 20);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  node.want_all();
  ASSERT_TRUE(await([&] { return node.complete(); }));
  EXPECT_TRUE(node.stored().content() == subject.content);
  EXPECT_EQ(seed.stored().reads(), subject.ref.size / swarm::TorrentReads::kStretch);
}

TEST(TorrentExchange, brings_only_what_is_awaited) {
  const Subject subject(2 << 20);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  node.want(3, chunk::Class::pull);
  ASSERT_TRUE(await([&] { return node.came() == 1; }));
  node.expect_right(subject);
  node.want(5);
  ASSERT_TRUE(await([&] { return node.came() == 2; }));
  node.expect_right(subject);
  EXPECT_EQ(node.stored().bytes_present(), 2u * 256 * 1024);
}

TEST(TorrentExchange, passes_on_what_another_lane_brought_and_writes_nothing) {
  const Subject subject((3 << 20) + 5);
  Node first("127.0.0.21"), second("127.0.0.22");
  first.take(subject, false);
  second.take(subject, false, {first.endpoint()});
  second.want_all();
  ASSERT_TRUE(await([&] { return second.layer()->availability.summary().peers == 1; }));
  EXPECT_EQ(second.layer()->availability.copies(0), 0);
  first.stored().put(subject.content);
  std::vector<uint32_t> all;
  for (uint32_t piece = 0; piece < first.layer()->pieces(); ++piece) all.push_back(piece);
  first.session().inject(first.layer(), all);
  ASSERT_TRUE(await([&] { return second.complete(); }));
  EXPECT_TRUE(second.stored().content() == subject.content);
  EXPECT_EQ(first.stored().written(), 0);
  EXPECT_EQ(first.meters().injected.value(), first.layer()->pieces());
  EXPECT_EQ(first.meters().received.value(), 0);
}

TEST(TorrentExchange, writes_what_the_store_lacks_of_a_piece) {
  const Subject subject(1 << 20);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  node.stored().put(subject.content, {2, 5});  // of the first chunk's 16
  node.want(0);
  ASSERT_TRUE(await([&] { return node.came() == 1 && node.layer()->told(0); }));
  node.expect_right(subject);
  EXPECT_EQ(node.stored().written(), 11u * chunk::kBlockSize);
}

TEST(TorrentExchange, gives_an_injected_piece_to_who_awaits_it) {
  const Subject subject(1 << 20);
  Node node("127.0.0.22");
  node.take(subject, false);
  node.want(1);
  node.stored().put(subject.content, node.layer()->blocks_of(1));
  ASSERT_TRUE(await([&] {
    node.session().inject(node.layer(), {1});
    return node.came() == 1;
  }));
  node.expect_right(subject);
}

TEST(TorrentExchange, serves_without_keeping_where_the_store_is_full) {
  const Subject subject(1 << 20);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  node.stored().set_full(true);
  node.want(2);
  ASSERT_TRUE(await([&] { return node.came() == 1 && node.layer()->broken(); }));
  node.expect_right(subject);
  EXPECT_FALSE(node.layer()->told(2));
}

TEST(TorrentExchange, notices_that_what_it_told_is_gone_and_begins_anew) {
  const Subject subject(2 << 20);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  ASSERT_TRUE(await([&] { return seed.layer()->told(4); }));
  seed.stored().evict(seed.layer()->blocks_of(4));
  node.take(subject, false, {seed.endpoint()});
  node.want(4);
  ASSERT_TRUE(await([&] { return seed.layer()->broken(); }));
  EXPECT_EQ(node.came(), 0);
  seed.session().remove(seed.layer());
  seed.join(subject, {node.endpoint()});
  EXPECT_TRUE(await([&] {
    return node.layer()->availability.copies(3) == 1 && node.layer()->availability.copies(4) == 0;
  }));
  node.want(3);
  ASSERT_TRUE(await([&] { return node.came() == 1; }));
  node.expect_right(subject);
}

TEST(TorrentExchange, stands_still_while_a_waiter_is_held) {
  const Subject subject(1 << 20);
  std::atomic<int> came = 0;  // outlives who counts it
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  node.take(subject, false, {seed.endpoint()});
  const auto id = node.layer()->await(0, chunk::Class::backfill, [&](const auto&) { ++came; });
  node.layer()->hold(id, true);
  node.session().refresh(node.layer(), {0});
  node.want(1);
  ASSERT_TRUE(await([&] { return node.came() == 1; }));
  EXPECT_EQ(came, 0);
  node.layer()->hold(id, false);
  node.session().refresh(node.layer(), {0});
  EXPECT_TRUE(await([&] { return came == 1; }));
}

TEST(TorrentExchange, a_swarm_of_five_shares_what_each_has_a_part_of) {
  const Subject subject((4 << 20) + 77);
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<swarm::Endpoint> all;
  for (int i = 0; i < 5; ++i) {
    nodes.push_back(std::make_unique<Node>("127.0.0." + std::to_string(31 + i)));
    all.push_back(nodes.back()->endpoint());
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto& node = *nodes[i];
    node.take(subject, false, all);
    for (uint32_t piece = 0; piece < node.layer()->pieces(); ++piece)
      if (piece % nodes.size() == i)
        node.stored().put(subject.content, node.layer()->blocks_of(piece));
    node.want_all();
  }
  ASSERT_TRUE(await([&] {
    size_t complete = 0;
    for (auto& node : nodes) {
      std::vector<uint32_t> here;
      for (uint32_t piece = 0; piece < node->layer()->pieces(); ++piece)
        if (node->stored().has(node->layer()->blocks_of(piece))) here.push_back(piece);
      node->session().inject(node->layer(), here);
      complete += node->complete();
    }
    return complete == nodes.size();
  }));
  for (auto& node : nodes) EXPECT_TRUE(node->stored().content() == subject.content);
}

TEST(TorrentExchange, what_has_ended_fails_all_who_wait_and_gives_nobody_anything) {
  const Subject subject(1 << 20);
  std::atomic<int> failed = 0, came = 0;
  Node node("127.0.0.22");
  node.take(subject, false);
  const auto count = [&](const auto& bytes) { ++(bytes ? came : failed); };
  node.layer()->await(0, chunk::Class::backfill, count);
  node.layer()->await(2, chunk::Class::pull, count);
  node.layer()->end({util::Fault::unavailable, "no more"});
  ASSERT_TRUE(await([&] { return failed == 2; }));
  EXPECT_EQ(node.layer()->await(1, chunk::Class::pull, count), 0);
  node.layer()->came(1, util::SharedBytes::of(util::Bytes(16)));
  EXPECT_EQ(came, 0);
}

TEST(TorrentExchange, ends_in_the_middle_of_things) {
  const Subject subject(8 << 20);
  for (int round = 0; round < 5; ++round) {
    Node seed("127.0.0.21"), node("127.0.0.22");
    seed.take(subject, true);
    node.take(subject, false, {seed.endpoint()});
    node.want_all();
    ASSERT_TRUE(await([&] { return node.came() >= static_cast<size_t>(round); }));
    if (round == 3) node.session().remove(node.layer());
    node.expect_right(subject);
  }
}

}  // namespace swarmfs::torrent_test
