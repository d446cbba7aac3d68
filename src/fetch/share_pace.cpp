// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/share_pace.h"

#include <algorithm>

namespace swarmfs::fetch {

namespace {

constexpr uint64_t kStep = 1 << 20;  ///< in the time that all of the limit takes
constexpr uint64_t kRetreat = 4;     ///< a quarter of the limit, likewise

}  // namespace

SharePace::State SharePace::state(util::SteadyTime now) const {
  return now < last_ + kForgets ? state_ : State{};
}

void SharePace::came(const Request& request, util::SteadyTime now) {
  auto [limit, took, steady] = state(now);
  const auto [length, its_took, asked] = request;
  took = std::max(its_took, took - took / 8);
  if (its_took > kTakes) {
    steady = true;
    limit = std::min(limit, std::max(asked, kLeast));
    limit -= std::min(limit, length / kRetreat);
  } else if (asked + length > limit) {
    limit += steady ? length * std::min(kStep, limit) / limit : length;
  }
  state_ = {std::clamp(limit, kLeast, kMost), took, steady};
  last_ = now;
}

uint64_t SharePace::limit(util::SteadyTime now) const {
  return state(now).limit;
}

util::Duration SharePace::took(util::SteadyTime now) const {
  return state(now).took;
}

}  // namespace swarmfs::fetch
