// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/preheat_report.h"

#include <gtest/gtest.h>

namespace swarmfs::daemon {
namespace {

using swarm::PreheatRun;
using State = swarm::PreheatState::State;
using util::Fault;

PreheatRun::Node node_of(const std::string& id, State state, uint64_t done,
                         const std::string& error = "") {
  return {{{"10.0.0.1", 7946}, id, "z"},
          {state, error, 100, done, 1.0 + static_cast<double>(done), {{"peer", done}}}};
}

TEST(PreheatReport, sums_over_nodes_and_names_each) {
  PreheatRun::View run{false,
                       false,
                       {node_of("a", State::running, 10), node_of("b", State::done, 100),
                        node_of("c", State::failed, 5, "no")}};
  const auto report = report_of(run, {{{{"10.0.0.9", 1}, "d", "y"}, "silent: refused"}});
  EXPECT_EQ(report.kind, "preheat");
  EXPECT_EQ(report.state, "running");
  EXPECT_EQ(report.bytes_total, 200u) << "what failed is not waited for";
  EXPECT_EQ(report.bytes_done, 110u);
  EXPECT_EQ(report.sources.at("peer"), 115u);
  EXPECT_DOUBLE_EQ(report.seconds, 101);
  ASSERT_EQ(report.nodes.size(), 3u);
  EXPECT_EQ(report.nodes[2].node_id, "c");
  EXPECT_EQ(report.nodes[2].endpoint, "10.0.0.1:7946");
  EXPECT_EQ(report.nodes[2].zone, "z");
  EXPECT_EQ(report.nodes[2].state, "failed");
  EXPECT_EQ(report.nodes[2].error, "no");
  ASSERT_EQ(report.left_out.size(), 1u);
  EXPECT_EQ(report.left_out[0].endpoint, "10.0.0.9:1");
  EXPECT_EQ(report.left_out[0].why, "silent: refused");
}

TEST(PreheatReport, fails_where_one_node_failed_or_nobody_waits) {
  const auto done = node_of("a", State::done, 100), failed = node_of("b", State::failed, 0, "no"),
             running = node_of("c", State::running, 0);
  const std::tuple<PreheatRun::View, const char*, std::optional<Fault>, const char*> table[] = {
      {{true, false, {done, done}}, "done", {}, ""},
      {{true, false, {done, failed}}, "failed", Fault::unavailable, "1 of 2 nodes failed"},
      {{false, false, {running, failed}}, "running", {}, ""},
      {{false, true, {running}}, "running", {}, ""},
      {{true, true, {running, failed}}, "failed", Fault::cancelled, "nobody waits for it"},
  };
  for (const auto& [run, state, fault, message] : table) {
    const auto report = report_of(run, {});
    EXPECT_EQ(report.state, state) << message;
    ASSERT_EQ(report.error.has_value(), fault.has_value()) << message;
    if (!fault) continue;
    EXPECT_EQ(report.error->fault, *fault);
    EXPECT_EQ(report.error->message, message);
  }
}

TEST(PreheatReport, a_pull_is_told_as_it_is) {
  image::Job::View pull;
  pull.state = image::Job::State::failed;
  pull.error = util::Failure{Fault::denied, "no password"};
  pull.bytes_total = 9;
  pull.bytes_done = 4;
  pull.seconds = 2;
  pull.sources = {{"registry", 4}};
  const auto told = preheat_state(pull);
  EXPECT_EQ(told.state, State::failed);
  EXPECT_EQ(told.error, "no password");
  EXPECT_EQ(told.bytes_total, 9u);
  EXPECT_EQ(told.bytes_done, 4u);
  EXPECT_DOUBLE_EQ(told.seconds, 2);
  EXPECT_EQ(told.sources.at("registry"), 4u);
  pull.state = image::Job::State::running;
  pull.error.reset();
  EXPECT_EQ(preheat_state(pull).state, State::running);
  EXPECT_EQ(preheat_state(pull).error, "");
}

TEST(PreheatWish, is_all_or_a_number) {
  const auto wish = [](const char* nodes) { return wish_of({"r", "", nodes, "z", "600"}); };
  EXPECT_FALSE(wish("all")->nodes);
  EXPECT_EQ(wish("all")->zone, "z");
  EXPECT_EQ(wish("1")->nodes, 1u);
  EXPECT_EQ(wish("1000")->nodes, 1000u);
  for (const char* text : {"", "0", "-1", "3x", "ALL", "1e3", " 1", "99999999999999999999999"})
    EXPECT_EQ(wish(text).failure().fault, Fault::invalid) << text;
}

TEST(PreheatPatience, is_a_number_of_seconds) {
  const std::pair<const char*, int64_t> table[] = {
      {"1", 1},  {"600", 600}, {"604800", 604'800}, {"", 0},    {"0", 0},
      {"-5", 0}, {"10m", 0},   {"604801", 0},       {"1.5", 0}, {"99999999999999999999", 0}};
  for (const auto& [text, expected] : table) {
    const auto patience = patience_of({"r", "", "all", "", text});
    ASSERT_EQ(static_cast<bool>(patience), expected > 0) << text;
    if (patience) {
      EXPECT_EQ(patience->count(), expected);
    }
  }
}

}  // namespace
}  // namespace swarmfs::daemon
