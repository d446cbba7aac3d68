// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <cstddef>

namespace swarmfs::support {

/// The most that any `new` of this program asked for since a test set it to 0.
extern std::atomic<size_t> largest_allocation;

}  // namespace swarmfs::support
