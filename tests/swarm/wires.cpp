// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "wires.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace swarmfs::swarm {
namespace {

using Seconds = std::chrono::duration<double>;

/// A rate that differs by less stays as it is: most events touch many flows a little.
constexpr double kNoChange = 0.03;
constexpr double kForever = 1e6;  ///< seconds

constexpr auto kLater = [](const auto& a, const auto& b) {
  return std::tie(a.when, a.order) > std::tie(b.when, b.order);
};

}  // namespace

void Wires::after(util::Duration delay, std::function<void()> what) {
  due_.push_back({now_ + delay, next_++, std::move(what)});
  std::push_heap(due_.begin(), due_.end(), kLater);
}

void Wires::run(const std::function<bool()>& stop) {
  while (!stop() && !(due_.empty() && ending_.empty())) {
    if (due_.empty() || (!ending_.empty() && flows_[ending_[0]].until <= due_.front().when)) {
      const Flow flow = ending_[0];
      now_ = flows_[flow].until;
      const auto on_end = std::move(flows_[flow].on_end);
      leave(flow);
      on_end();
      continue;
    }
    std::pop_heap(due_.begin(), due_.end(), kLater);
    const Due due = std::move(due_.back());
    due_.pop_back();
    now_ = due.when;
    due.what();
  }
}

Wires::Wire Wires::add_wire(double bytes_per_second) {
  wires_.push_back({bytes_per_second, {}});
  return static_cast<Wire>(wires_.size() - 1);
}

void Wires::set_rate(Wire wire, double bytes_per_second) {
  wires_[wire].rate = bytes_per_second;
  for (const auto& [flow, end] : wires_[wire].flows) fill(flows_[flow].ends[1].wire);
}

Wires::Flow Wires::start(Wire from, Wire to, double bytes, std::function<void()> on_end) {
  Flow flow = static_cast<Flow>(flows_.size());
  if (free_.empty()) {
    flows_.emplace_back();
  } else {
    flow = free_.back();
    free_.pop_back();
  }
  Course& course = flows_[flow] = {};
  course.total = course.left = bytes;
  course.since = now_;
  course.alive = true;
  course.on_end = std::move(on_end);
  int end = 0;
  for (const Wire wire : {from, to}) {
    course.ends[end] = {wire, static_cast<uint32_t>(wires_[wire].flows.size())};
    wires_[wire].flows.emplace_back(flow, end++);
  }
  ending_.push_back(flow);
  course.until = util::SteadyTime::max();
  put(ending_.size() - 1, flow);
  share(from, to);
  return flow;
}

void Wires::stop(Flow flow) {
  if (flows_[flow].alive) leave(flow);
}

double Wires::sent(Flow flow) const {
  const Course& course = flows_[flow];
  const double passed = course.rate * Seconds(now_ - course.since).count();
  return course.total - std::max(0.0, course.left - passed);
}

void Wires::leave(Flow flow) {
  Course& course = flows_[flow];
  course.alive = false;
  course.on_end = nullptr;
  for (const End& end : course.ends) {
    auto& flows = wires_[end.wire].flows;
    flows[end.place] = flows.back();
    flows_[flows[end.place].first].ends[flows[end.place].second].place = end.place;
    flows.pop_back();
  }
  const size_t place = course.place;
  const Flow last = ending_.back();
  ending_.pop_back();
  if (last != flow) {
    put(place, last);
    up(place);
    down(flows_[last].place);
  }
  free_.push_back(flow);
  share(course.ends[0].wire, course.ends[1].wire);
}

/// The most that a flow gets of that wire.
double Wires::part_of_receiver(Wire to) const {
  const Cable& cable = wires_[to];
  for (double part = 0;;) {
    double left = cable.rate, wider = 0;
    for (const auto& [flow, end] : cable.flows)
      if (const double offered = part_of_sender(flow); offered <= part)
        left -= offered;
      else
        ++wider;
    if (wider == 0 || left / wider <= part) return part;
    part = left / wider;
  }
}

double Wires::part_of_sender(Flow flow) const {
  const Cable& from = wires_[flows_[flow].ends[0].wire];
  return from.rate / static_cast<double>(from.flows.size());
}

void Wires::share(Wire from, Wire to) {
  fill(to);
  for (const auto& [flow, end] : wires_[from].flows)
    if (const Wire other = flows_[flow].ends[1].wire; other != to) fill(other);
}

void Wires::fill(Wire to) {
  const double part = part_of_receiver(to);
  for (const auto& [flow, end] : wires_[to].flows)
    set_course(flow, std::min(part, part_of_sender(flow)));
}

void Wires::set_course(Flow flow, double rate) {
  Course& course = flows_[flow];
  if (std::abs(rate - course.rate) <= kNoChange * course.rate) return;
  course.left = std::max(0.0, course.left - course.rate * Seconds(now_ - course.since).count());
  course.since = now_;
  course.rate = rate;
  const auto takes = Seconds(std::min(kForever, course.left / rate)) + std::chrono::nanoseconds(1);
  course.until = now_ + std::chrono::duration_cast<util::Duration>(takes);
  up(course.place);
  down(course.place);
}

bool Wires::earlier(Flow a, Flow b) const {
  return flows_[a].until < flows_[b].until;
}

void Wires::put(size_t place, Flow flow) {
  ending_[place] = flow;
  flows_[flow].place = static_cast<uint32_t>(place);
}

void Wires::up(size_t place) {
  const Flow flow = ending_[place];
  while (place > 0 && earlier(flow, ending_[(place - 1) / 2])) {
    put(place, ending_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(place, flow);
}

void Wires::down(size_t place) {
  const Flow flow = ending_[place];
  for (;;) {
    size_t child = 2 * place + 1;
    if (child >= ending_.size()) break;
    if (child + 1 < ending_.size() && earlier(ending_[child + 1], ending_[child])) ++child;
    if (!earlier(ending_[child], flow)) break;
    put(place, ending_[child]);
    place = child;
  }
  put(place, flow);
}

}  // namespace swarmfs::swarm
