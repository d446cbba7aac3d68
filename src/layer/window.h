// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <memory>
#include <optional>

#include "util/units.h"

struct ZSTD_CCtx_s;

namespace swarmfs::layer {

/// What stands before a checkpoint in the data space, at most: one for every 256 KiB of it.
inline constexpr size_t kLongestWindow = 32 * 1024;

/// The first half of the SHA-256 of a window as it stands in the data space: whatever packed it,
/// it is the same window.
using WindowHash = std::array<std::byte, 16>;
WindowHash hash_of_window(util::ByteView plain);

/// Packs windows one after the other. One thread's.
class WindowPacker {
 public:
  WindowPacker();
  /// At most kLongestWindow bytes, not empty. Valid until the next. Other versions of zstd pack the
  /// same window otherwise.
  [[nodiscard]] util::ByteView pack(util::ByteView plain);

 private:
  const std::unique_ptr<ZSTD_CCtx_s, size_t (*)(ZSTD_CCtx_s*)> zstd_;
  util::Bytes room_;
};
/// What a packer gave, from wherever it comes: nothing when it is damaged.
std::optional<util::Bytes> unpack_window(util::ByteView packed);

}  // namespace swarmfs::layer
