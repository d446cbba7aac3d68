// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/preheat_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace swarmfs::daemon {

using swarm::PreheatRun;
using swarm::PreheatState;
using util::Failure;
using util::Fault;

namespace {

control::PreheatNodeReport report_node(const PreheatRun::Node& node) {
  const auto& [member, state] = node;
  return {member.endpoint.to_string(),
          member.node_id,
          member.zone,
          to_string(state.state),
          state.error,
          state.bytes_total,
          state.bytes_done,
          state.seconds,
          state.sources};
}

PreheatState::State state_of(image::Job::State state) {
  switch (state) {
    case image::Job::State::running:
      return PreheatState::State::running;
    case image::Job::State::done:
      return PreheatState::State::done;
    case image::Job::State::failed:
      return PreheatState::State::failed;
  }
  return PreheatState::State::failed;
}

void add(control::JobReport& sum, const PreheatState& node) {
  sum.seconds = std::max(sum.seconds, node.seconds);
  for (const auto& [source, bytes] : node.sources) sum.sources[source] += bytes;
  if (node.state == PreheatState::State::failed) return;
  sum.bytes_total += node.bytes_total;
  sum.bytes_done += node.bytes_done;
}

std::optional<int64_t> number_in(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

}  // namespace

PreheatState preheat_state(const image::Job::View& pull) {
  return {state_of(pull.state), pull.error ? pull.error->message : "",
          pull.bytes_total,     pull.bytes_done,
          pull.seconds,         pull.sources};
}

control::JobReport report_of(const PreheatRun::View& run,
                             const std::vector<swarm::PreheatChoice::LeftOut>& left_out) {
  control::JobReport made;
  made.kind = "preheat";
  size_t failed = 0;
  for (const auto& node : run.nodes) {
    made.nodes.push_back(report_node(node));
    add(made, node.state);
    failed += node.state.state == PreheatState::State::failed;
  }
  for (const auto& [member, why] : left_out)
    made.left_out.push_back({member.endpoint.to_string(), member.zone, why});
  if (run.ended && run.cancelled)
    made.error = Failure{Fault::cancelled, "nobody waits for it"};
  else if (run.ended && failed > 0)
    made.error =
        Failure{Fault::unavailable, fmt::format("{} of {} nodes failed", failed, run.nodes.size())};
  made.state = !run.ended ? "running" : made.error ? "failed" : "done";
  return made;
}

util::Outcome<swarm::PreheatWish> wish_of(const control::PreheatOrder& order) {
  if (order.nodes == "all") return swarm::PreheatWish{{}, order.zone};
  const auto nodes = number_in(order.nodes);
  if (!nodes || *nodes <= 0)
    return Failure{Fault::invalid,
                   "nodes: '" + order.nodes + "' is neither a number from 1 on nor \"all\""};
  return swarm::PreheatWish{static_cast<size_t>(*nodes), order.zone};
}

util::Outcome<std::chrono::seconds> patience_of(const control::PreheatOrder& order) {
  constexpr std::chrono::seconds kLongest = std::chrono::hours(24 * 7);
  const auto seconds = number_in(order.timeout);
  if (!seconds || *seconds < 1 || *seconds > kLongest.count())
    return Failure{Fault::invalid,
                   "timeout: '" + order.timeout + "' is not a number of seconds from 1 to 604800"};
  return std::chrono::seconds(*seconds);
}

}  // namespace swarmfs::daemon
