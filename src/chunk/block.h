// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <compare>
#include <cstdint>

#include "util/units.h"

namespace swarmfs::chunk {

/// 16 KiB: a BEP 52 leaf, the unit of verification and of presence in the cache.
inline constexpr uint64_t kBlockSize = 16 * 1024;

/// Position of a block in its layer.
enum class BlockIndex : uint64_t {};

/// `count` blocks from `first`.
struct BlockRange {
  uint64_t first = 0;
  uint64_t count = 0;

  [[nodiscard]] constexpr uint64_t end() const noexcept { return first + count; }
  [[nodiscard]] constexpr bool empty() const noexcept { return count == 0; }
  auto operator<=>(const BlockRange&) const = default;
};

/// Number of blocks of a layer of `size` bytes; the last one may be short.
constexpr uint64_t block_count(uint64_t size) noexcept {
  return (size + kBlockSize - 1) / kBlockSize;
}

/// The blocks that `range` touches.
BlockRange blocks_covering(util::ByteRange range) noexcept;

/// The bytes of `blocks` in a layer of `size` bytes (clamped to it).
util::ByteRange bytes_of(BlockRange blocks, uint64_t size) noexcept;

/// Unit of planning (BEP 52 piece): 256 KiB for layers under 64 MiB, else 1 MiB. A fixed rule.
constexpr uint64_t chunk_size(uint64_t layer_size) noexcept {
  return layer_size < (64ull << 20) ? 256 * 1024 : 1024 * 1024;
}

}  // namespace swarmfs::chunk
