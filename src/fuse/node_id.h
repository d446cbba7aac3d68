// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>

namespace swarmfs::fuse {

/// What a node id names. Ids are pure numbers, the same after a restart: nothing is kept per open
/// file or per look-up.
enum class NodeKind : uint8_t {
  fixed = 0,        ///< the directories of the mount's top; index = Fixed
  blob = 1,         ///< blobs/sha256/<hex>; slot = layer
  layer_inode = 2,  ///< an inode of layers/<hex>/diff; slot = layer, index = InodeIndex
  image_node = 3,   ///< a node of images/<name>/rootfs; slot = image, index = NodeIndex
  layer_home = 4,   ///< layers/<hex>; slot = layer
  image_home = 5,   ///< images/<name>; slot = image
  whiteout = 6,     ///< any whiteout of a layer's diff (character device 0:0); slot = layer
  image_link = 7,   ///< images/<encoded reference>, a link to its newest image; slot = image
};

/// Index of NodeKind::fixed. 1 is the kernel's root.
enum class Fixed : uint32_t { root = 1, blobs = 2, sha256 = 3, layers = 4, images = 5 };

struct NodeId {
  NodeKind kind = NodeKind::fixed;
  uint32_t slot = 0;  ///< 24 bits
  uint32_t index = 0;

  static constexpr NodeId from(uint64_t number) noexcept {
    return {static_cast<NodeKind>(number >> 56), static_cast<uint32_t>(number >> 32 & 0xffffff),
            static_cast<uint32_t>(number)};
  }
  static constexpr NodeId of(Fixed fixed) noexcept {
    return {NodeKind::fixed, 0, static_cast<uint32_t>(fixed)};
  }
  [[nodiscard]] constexpr uint64_t number() const noexcept {
    return static_cast<uint64_t>(kind) << 56 | static_cast<uint64_t>(slot & 0xffffff) << 32 | index;
  }
  bool operator==(const NodeId&) const = default;
};

}  // namespace swarmfs::fuse
