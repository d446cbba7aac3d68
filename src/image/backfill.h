// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fetch/fetcher.h"
#include "util/backoff.h"
#include "util/timers.h"

namespace swarmfs::image {

struct BackfillHooks {
  /// A layer is here, or why it is not yet.
  std::function<void(size_t layer, const util::Outcome<util::Done>& outcome)> on_layer;
  std::function<void()> on_all;  ///< every layer is here
};

/// Brings in whole layers as class backfill, one after the other. Those that fail are tried again,
/// all of them, after a pause that grows while no layer gets here; want of space ends a round at
/// once. Ends when all are here, or with the operation. Hooks run on a source's or the timer's
/// thread, or inside the call.
[[nodiscard]] util::Operation backfill(fetch::Fetcher& fetcher, util::Timers& timers,
                                       std::vector<std::shared_ptr<fetch::Layer>> layers,
                                       BackfillHooks hooks,
                                       util::BackoffPolicy pauses = {std::chrono::seconds(1),
                                                                     std::chrono::minutes(2)});

}  // namespace swarmfs::image
