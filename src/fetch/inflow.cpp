// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/inflow.h"

#include <algorithm>
#include <tuple>

namespace swarmfs::fetch {

namespace {

constexpr double kLeastInflow = 6 << 20;
constexpr double kMostInflow = 64 << 20;
constexpr unsigned kMostRequests = 48;
/// A request's time where the link is busy: to the registry and back through another node.
constexpr double kSecondsOnTheWay = 0.75;

}  // namespace

uint64_t inflow_limit(double rate) {
  return static_cast<uint64_t>(std::clamp(rate * kSecondsOnTheWay, kLeastInflow, kMostInflow));
}

std::optional<size_t> next_in(std::span<const WaitingRequest> waiting, const Inflow& inflow,
                              uint64_t limit) {
  if (inflow.bytes >= limit || inflow.requests >= kMostRequests) return std::nullopt;
  const bool ours_first = inflow.ours < limit / 2;
  const auto rank = [&](const WaitingRequest& one) {
    return std::make_tuple(one.cls, one.ours != ours_first, one.of_layer);
  };
  const auto best =
      std::min_element(waiting.begin(), waiting.end(),
                       [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  if (best == waiting.end()) return std::nullopt;
  return static_cast<size_t>(best - waiting.begin());
}

}  // namespace swarmfs::fetch
