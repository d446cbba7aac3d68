// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/hedge.h"

#include <algorithm>

namespace swarmfs::fetch {

util::SteadyTime hedge_due(util::SteadyTime now, util::SteadyTime progress, util::Duration hedge,
                           bool paused, std::optional<util::SteadyTime> in_turns) noexcept {
  const util::SteadyTime since = paused ? now : std::max(progress, in_turns.value_or(progress));
  if (hedge >= util::SteadyTime::max() - since) return util::SteadyTime::max();
  return since + hedge;
}

}  // namespace swarmfs::fetch
