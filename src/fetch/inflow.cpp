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
/// What a fault may wait for what backfill has asked for; peers are nearer than the registry.
constexpr double kSecondsBeforeFault = 0.1;
constexpr double kLeastBackfill = 1 << 20;

}  // namespace

InflowLimit inflow_limit(double rate, bool faults_near) {
  const double all = std::clamp(rate * kSecondsOnTheWay, kLeastInflow, kMostInflow);
  const double before = std::clamp(rate * kSecondsBeforeFault, kLeastBackfill, all);
  const auto bytes = static_cast<uint64_t>(all);
  return {bytes, faults_near ? static_cast<uint64_t>(before) : bytes, 0, bytes / 4};
}

std::optional<size_t> next_in(std::span<const WaitingRequest> waiting, const Inflow& inflow,
                              InflowLimit limit) {
  const bool room = inflow.bytes < limit.bytes && inflow.requests < kMostRequests;
  const bool ours_first = inflow.ours < limit.bytes / 2;
  const bool shy = inflow.bytes - inflow.ours >= limit.backfill;
  const auto may = [&](const WaitingRequest& one) {
    if (one.shared) return inflow.shared < limit.shared;
    if (one.waits && inflow.waits >= limit.waits) return false;
    return room && (one.cls != chunk::Class::backfill || one.ours || !shy);
  };
  const auto rank = [&](const WaitingRequest& one) {
    return std::make_tuple(!may(one), one.cls, one.ours != ours_first, !one.awaited, one.of_layer);
  };
  const auto best =
      std::min_element(waiting.begin(), waiting.end(),
                       [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  if (best == waiting.end() || !may(*best)) return std::nullopt;
  return static_cast<size_t>(best - waiting.begin());
}

}  // namespace swarmfs::fetch
