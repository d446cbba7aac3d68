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
