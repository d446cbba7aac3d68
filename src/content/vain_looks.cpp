// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/vain_looks.h"

namespace swarmfs::content {

bool VainLooks::begin(const util::Digest& layer, util::SteadyTime now) {
  auto state = state_.lock();
  std::erase_if(state->vain, [&](const auto& one) { return now - one.second >= kMemory; });
  if (state->looks == kMost || state->vain.contains(layer)) return false;
  ++state->looks;
  return true;
}

void VainLooks::end(const util::Digest& layer, bool in_vain, util::SteadyTime now) {
  auto state = state_.lock();
  --state->looks;
  if (in_vain) state->vain[layer] = now;
}

}  // namespace swarmfs::content
