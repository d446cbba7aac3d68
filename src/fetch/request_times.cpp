// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/request_times.h"

#include <algorithm>

namespace swarmfs::fetch {

namespace {

constexpr std::chrono::seconds kForgets{60};
constexpr std::chrono::minutes kMostPatience{2};

}  // namespace

RequestTimes::Number RequestTimes::begins(util::SteadyTime now) {
  auto state = state_.lock();
  state->under_way.emplace(++state->last, now);
  return state->last;
}

void RequestTimes::ends(Number number, bool whole, util::SteadyTime now) {
  auto state = state_.lock();
  const auto found = state->under_way.extract(number);
  if (!whole || found.empty()) return;
  // What began before and is not here yet is late for another reason.
  state->under_way.erase(state->under_way.begin(), state->under_way.lower_bound(number));
  const auto took = now - found.mapped();
  const bool fresh = state->took == util::Duration() || now - state->ended > kForgets;
  state->took = fresh ? took : (4 * state->took + took) / 5;
  state->ended = now;
}

util::Duration RequestTimes::takes(util::SteadyTime now) const {
  auto state = state_.lock();
  const auto took = now - state->ended > kForgets ? util::Duration() : state->took;
  if (state->under_way.empty()) return took;
  return std::max(took, now - state->under_way.begin()->second);
}

util::Duration RequestTimes::patience(util::SteadyTime now) const {
  return std::min<util::Duration>(2 * takes(now), kMostPatience);
}

}  // namespace swarmfs::fetch
