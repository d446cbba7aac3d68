// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "util/clock.h"

namespace swarmfs::fetch {

/// When a flight that last got a block (or was launched) at `progress` should ask the next source
/// as well; `now` or earlier: at once; SteadyTime::max(): never. A paused flight stands still by
/// our own will: look again later. Pure.
util::SteadyTime hedge_due(util::SteadyTime now, util::SteadyTime progress, util::Duration hedge,
                           bool paused) noexcept;

}  // namespace swarmfs::fetch
