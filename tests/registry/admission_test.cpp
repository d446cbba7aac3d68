// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/admission.h"

#include <gtest/gtest.h>

namespace swarmfs::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const util::SteadyTime kBegin{seconds(1000)};
const std::string kHost = "r.example.com";

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    admission_.set_fellows(
        [this](const std::string& host) { return host == kHost ? fellows_ : Fellows{}; });
  }
  util::Duration pace(bool bulk, util::SteadyTime now = kBegin, uint64_t bytes = 0) {
    return admission_.pace({kHost, node_, cluster_, bulk, bytes}, now);
  }
  int go_at_once(bool bulk) {
    int went = 0;
    while (went < 1000 && pace(bulk) == util::Duration()) ++went;
    return went;
  }
  bool enter() {
    return admission_.enter({kHost, node_, cluster_, true, 0}, chunk::Class::pull, nullptr, kBegin);
  }

  Limits node_ = kNodeLimits, cluster_ = kClusterLimits;
  Fellows fellows_;
  Admission admission_;
};

TEST(Budget, is_dealt_in_equal_parts_but_nobody_is_left_without_a_connection) {
  struct Row {
    unsigned asking, connections;
    double requests, bytes;
  };
  for (const Row& row : {Row{0, 64, 10, 1000}, Row{1, 32, 5, 500}, Row{7, 8, 1.25, 125},
                         Row{9, 6, 1, 100}, Row{99, 1, 0.1, 10}}) {
    const auto part = part_of({64, 10, 1000}, row.asking);
    EXPECT_EQ(part.connections, row.connections) << row.asking;
    EXPECT_DOUBLE_EQ(part.requests_per_second, row.requests) << row.asking;
    EXPECT_DOUBLE_EQ(part.bytes_per_second, row.bytes) << row.asking;
  }
  const auto none = part_of({}, 9);
  EXPECT_EQ(none.connections, 0u);
  EXPECT_EQ(none.requests_per_second, 0);
}

TEST(Budget, the_stricter_limit_holds_and_0_is_none) {
  const auto both = stricter({8, 0, 100}, {64, 5, 0});
  EXPECT_EQ(both.connections, 8u);
  EXPECT_EQ(both.requests_per_second, 5);
  EXPECT_EQ(both.bytes_per_second, 100);
}

TEST_F(AdmissionTest, bulk_keeps_to_our_part_of_the_requests_and_faults_go_ahead_on_its_account) {
  cluster_.requests_per_second = 12;
  fellows_.asking = 3;
  EXPECT_EQ(go_at_once(true), 3);
  EXPECT_EQ(pace(false), util::Duration());
  EXPECT_NEAR(std::chrono::duration<double>(pace(true)).count(), 2.0 / 3, 0.01)
      << "the fault's is made up for";
}

TEST_F(AdmissionTest, a_limit_of_this_node_holds_for_faults_too) {
  node_.requests_per_second = 5;
  EXPECT_EQ(go_at_once(false), 5);
  EXPECT_GT(pace(false), milliseconds(150));
}

TEST_F(AdmissionTest, bytes_are_those_of_bulk_and_counted_as_they_are_asked_for) {
  cluster_.bytes_per_second = 4000;
  fellows_.asking = 3;
  EXPECT_EQ(pace(true, kBegin, 3000), util::Duration());
  EXPECT_EQ(pace(false, kBegin, 1 << 30), util::Duration());
  const auto pause = pace(true, kBegin, 3000);
  EXPECT_NEAR(std::chrono::duration<double>(pause).count(), 2, 0.01);
  EXPECT_EQ(pace(true, kBegin + pause, 3000), util::Duration());
}

TEST_F(AdmissionTest, places_follow_the_number_of_who_asks) {
  cluster_.connections = 6;
  fellows_.asking = 2;
  EXPECT_TRUE(enter() && enter());
  EXPECT_FALSE(enter());
  fellows_.asking = 0;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(enter()) << i;
  EXPECT_FALSE(enter());
  fellows_.asking = 5;
  admission_.leave(kHost);
  EXPECT_FALSE(enter()) << "five are under way, and one may be";
  for (int i = 0; i < 5; ++i) admission_.leave(kHost);
  EXPECT_TRUE(enter());
}

TEST_F(AdmissionTest, where_the_host_told_others_to_wait_bulk_waits_and_faults_see_for_themselves) {
  fellows_.held_until = kBegin + seconds(9);
  EXPECT_EQ(admission_.wait(kHost, true, kBegin), seconds(9));
  EXPECT_EQ(admission_.closed_for(kHost, true, kBegin), seconds(9));
  EXPECT_EQ(admission_.wait(kHost, false, kBegin), seconds(0));
  EXPECT_LE(admission_.closed_for(kHost, false, kBegin), seconds(0));
  EXPECT_EQ(admission_.wait("another.example.com", true, kBegin), seconds(0));
  admission_.hold_back(kHost, kBegin + seconds(20));
  EXPECT_EQ(admission_.wait(kHost, true, kBegin), seconds(20));
  EXPECT_EQ(admission_.wait(kHost, false, kBegin), seconds(20));
}

TEST_F(AdmissionTest, says_which_hosts_are_asked_and_which_told_us_to_wait) {
  EXPECT_TRUE(admission_.in_use(kBegin).empty());
  EXPECT_EQ(pace(false), util::Duration());
  EXPECT_TRUE(admission_.in_use(kBegin).empty()) << "a fault now and then is no claim";
  EXPECT_EQ(pace(true), util::Duration());
  EXPECT_TRUE(admission_.in_use(kBegin).at(kHost).asks) << "also while it waits for its turn";
  ASSERT_TRUE(enter());
  EXPECT_TRUE(admission_.in_use(kBegin + seconds(60)).at(kHost).asks);
  admission_.leave(kHost);
  EXPECT_TRUE(admission_.in_use(kBegin + seconds(1)).at(kHost).asks);
  EXPECT_TRUE(admission_.in_use(kBegin + seconds(5)).empty());
  admission_.hold_back(kHost, kBegin + seconds(30));
  const auto use = admission_.in_use(kBegin + seconds(10)).at(kHost);
  EXPECT_FALSE(use.asks);
  EXPECT_EQ(use.held, seconds(20));
}

}  // namespace
}  // namespace swarmfs::registry
