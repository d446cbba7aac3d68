// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <optional>

#include "util/units.h"

namespace swarmfs::layer {

/// What stands before a checkpoint in the data space, at most: one for every 256 KiB of it.
inline constexpr size_t kLongestWindow = 32 * 1024;

/// The first half of the SHA-256 of a window as it stands in the data space: whatever packed it,
/// it is the same window.
using WindowHash = std::array<std::byte, 16>;
WindowHash hash_of_window(util::ByteView plain);

/// At most kLongestWindow bytes, not empty. Other versions of zstd pack the same window otherwise.
util::Bytes pack_window(util::ByteView plain);
/// What pack_window() gave, from wherever it comes: nothing when it is damaged.
std::optional<util::Bytes> unpack_window(util::ByteView packed);

}  // namespace swarmfs::layer
