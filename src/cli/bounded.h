// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "util/outcome.h"

namespace swarmfs::cli {

/// What `work` gives when run in a child process: a file system that does not answer can hold its
/// caller for good. Fault::timed_out where it takes longer; the child is then killed and left
/// behind. Fault::unavailable where it throws. No other thread may hold locks that `work` needs.
util::Outcome<nlohmann::json> in_time(const std::function<nlohmann::json()>& work,
                                      std::chrono::milliseconds limit);

}  // namespace swarmfs::cli
