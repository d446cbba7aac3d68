// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>

#include "util/clock.h"

namespace swarmfs::fetch {

/// When a flight that last got a block (or was launched) at `progress` should ask the next source
/// as well; `now` or earlier: at once; SteadyTime::max(): never. A paused flight stands still by
/// our own will: look again later. `in_turns`: when a block of the same bulk came last, where that
/// counts as well (chunk::Plan::in_turns). Pure.
util::SteadyTime hedge_due(util::SteadyTime now, util::SteadyTime progress, util::Duration hedge,
                           bool paused,
                           std::optional<util::SteadyTime> in_turns = std::nullopt) noexcept;

}  // namespace swarmfs::fetch
