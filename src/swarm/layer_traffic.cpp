// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/layer_traffic.h"

#include <algorithm>
#include <cmath>

namespace swarmfs::swarm {

namespace {

constexpr std::chrono::minutes kTrafficRemembered{1};

}  // namespace

double RateMeter::per_second(util::SteadyTime now) const {
  const std::chrono::duration<double> passed = std::max(util::Duration::zero(), now - at_);
  return rate_ * std::exp(-passed / std::chrono::duration<double>(kSmoothing));
}

void RateMeter::add(uint64_t bytes, util::SteadyTime now) {
  rate_ = per_second(now) +
          static_cast<double>(bytes) / std::chrono::duration<double>(kSmoothing).count();
  at_ = std::max(at_, now);
}

LayerTraffic::Entry& LayerTraffic::entry(Entries& layers, const util::Digest& layer,
                                         util::SteadyTime now) {
  const auto found = layers.find(layer);
  if (found != layers.end()) {
    found->second.last = now;
    return found->second;
  }
  std::erase_if(layers,
                [&](const auto& one) { return now - one.second.last > kTrafficRemembered; });
  return layers.emplace(layer, Entry{{}, {}, now}).first->second;
}

void LayerTraffic::received(const util::Digest& layer, uint64_t bytes, util::SteadyTime now) {
  auto layers = layers_.lock();
  entry(*layers, layer, now).received.add(bytes, now);
}

void LayerTraffic::given(const util::Digest& layer, uint64_t bytes, util::SteadyTime now) {
  auto layers = layers_.lock();
  entry(*layers, layer, now).given.add(bytes, now);
}

LayerTraffic::Rates LayerTraffic::of(const util::Digest& layer, util::SteadyTime now) const {
  auto layers = layers_.lock();
  const auto found = layers->find(layer);
  if (found == layers->end()) return {};
  return {found->second.received.per_second(now), found->second.given.per_second(now)};
}

}  // namespace swarmfs::swarm
