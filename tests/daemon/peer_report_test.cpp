// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/peer_report.h"

#include <gtest/gtest.h>

namespace swarmfs::daemon {
namespace {

using control::PeerReport;
using std::chrono::microseconds;
using std::chrono::seconds;

const util::SteadyTime kNow{seconds(1000)};

swarm::Peer peer_at(const std::string& endpoint) {
  swarm::Peer made;
  made.endpoint = *swarm::Endpoint::parse(endpoint);
  return made;
}

TEST(PeerReport, carries_what_was_measured) {
  auto peer = peer_at("10.0.0.3:7946");
  peer.node_id = "3fa4";
  peer.zone = "a";
  peer.first_byte = microseconds(1500);
  peer.p95 = microseconds(4000);
  peer.rate = 1e8;
  peer.bytes_given = 7;
  peer.in_flight = 2;
  const auto report = report_of(peer, kNow);
  EXPECT_EQ(report.endpoint, "10.0.0.3:7946");
  EXPECT_EQ(report.node_id, "3fa4");
  EXPECT_EQ(report.zone, "a");
  EXPECT_EQ(report.state, PeerReport::State::ok);
  EXPECT_EQ(report.reason, "");
  EXPECT_DOUBLE_EQ(report.first_byte_ms.value(), 1.5);
  EXPECT_DOUBLE_EQ(report.p95_ms.value(), 4);
  EXPECT_DOUBLE_EQ(report.bytes_per_second.value(), 1e8);
  EXPECT_EQ(report.bytes_given, 7u);
  EXPECT_EQ(report.in_flight, 2u);
}

TEST(PeerReport, is_silent_about_what_was_never_measured) {
  const auto report = report_of(peer_at("[fd00::1]:7946"), kNow);
  EXPECT_EQ(report.endpoint, "[fd00::1]:7946");
  EXPECT_FALSE(report.first_byte_ms || report.p95_ms || report.bytes_per_second);
}

TEST(PeerReport, says_why_a_peer_is_not_asked_and_until_when) {
  auto peer = peer_at("10.0.0.3:7946");
  peer.failures = 2;
  peer.failure = "connection refused";
  peer.silent_until = kNow + seconds(8);
  const auto silent = report_of(peer, kNow);
  EXPECT_EQ(silent.state, PeerReport::State::silent);
  EXPECT_EQ(silent.reason, "connection refused");
  EXPECT_DOUBLE_EQ(silent.silent_seconds, 8);
  const auto due = report_of(peer, kNow + seconds(9));
  EXPECT_EQ(due.state, PeerReport::State::silent) << "until it has answered";
  EXPECT_DOUBLE_EQ(due.silent_seconds, 0);
  peer.banned = "wrong bytes";
  const auto banned = report_of(peer, kNow);
  EXPECT_EQ(banned.state, PeerReport::State::banned);
  EXPECT_EQ(banned.reason, "wrong bytes");
}

swarm::LayerSwarm swarm_named(const std::string& name, uint64_t blocks, uint64_t copies) {
  swarm::LayerSwarm made;
  made.layer.digest = util::Sha256::of(util::as_bytes(name));
  made.layer.size = 40'000;
  made.blocks = blocks;
  made.copies = {1, copies, 1};
  return made;
}

TEST(Swarms, are_told_in_bytes_the_unfinished_and_the_rarest_first) {
  swarm::SwarmsView view{9, 8, 7, {}};
  view.layers = {swarm_named("whole, three", 3, 3), swarm_named("whole, two", 3, 2),
                 swarm_named("part, five", 1, 5), swarm_named("part, one", 0, 1)};
  auto& part = view.layers[2];
  part.members.push_back(
      {*swarm::Endpoint::parse("10.0.0.3:7946"), "3fa4", "z", true, false, swarm::BlockSet(3)});
  part.members[0].blocks.add({1, 2});
  part.rates = {10, 20};
  part.bulk_peers = 6;
  const auto report = report_of(view);
  EXPECT_EQ(report.peers, 9u);
  EXPECT_EQ(report.asked, 8u);
  EXPECT_EQ(report.answered, 7u);
  std::vector<uint64_t> copies;
  for (const auto& layer : report.layers) copies.push_back(layer.rarest_copies);
  EXPECT_EQ(copies, (std::vector<uint64_t>{1, 5, 2, 3}));
  const auto& told = report.layers[1];
  EXPECT_EQ(told.digest, part.layer.digest.to_string());
  EXPECT_EQ(told.bytes, 16'384u);
  EXPECT_EQ(report.layers[2].bytes, 40'000u) << "the last block is short";
  ASSERT_EQ(told.members.size(), 1u);
  EXPECT_EQ(told.members[0].endpoint, "10.0.0.3:7946");
  EXPECT_EQ(told.members[0].node_id, "3fa4");
  EXPECT_EQ(told.members[0].zone, "z");
  EXPECT_EQ(told.members[0].bytes, 32'768u);
  EXPECT_TRUE(told.members[0].wants);
  EXPECT_EQ(told.chunks, 1u);
  EXPECT_EQ(told.rarest_chunks, 1u);
  EXPECT_EQ(told.received_per_second, 10);
  EXPECT_EQ(told.given_per_second, 20);
  EXPECT_EQ(told.bulk_peers, 6u);
  EXPECT_FALSE(report.layers[0].bulk_peers);
}

TEST(Holders, have_no_more_bytes_than_the_layer) {
  swarm::LayerViews::Member all{*swarm::Endpoint::parse("10.0.0.3:7946")};
  all.blocks = 3;
  swarm::LayerViews::Member one{*swarm::Endpoint::parse("10.0.0.4:7946")};
  one.blocks = 1;
  swarm::LayerViews::Member wants{*swarm::Endpoint::parse("10.0.0.5:7946")};
  wants.wants = true;
  const auto holders = holders_of({all, one, wants}, 40'000);
  ASSERT_EQ(holders.size(), 2u);
  EXPECT_EQ(holders[0].peer, "10.0.0.3:7946");
  EXPECT_EQ(holders[0].bytes, 40'000u);
  EXPECT_EQ(holders[1].bytes, 16'384u);
}

}  // namespace
}  // namespace swarmfs::daemon
