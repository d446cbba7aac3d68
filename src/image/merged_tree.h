// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layer/layer_index.h"

namespace swarmfs::image {

/// Position of a node in its image's tree: a pure function of the image's layers.
using NodeIndex = uint32_t;

/// The layers of an image merged by the OCI rules (image-spec, layer.md): whiteouts, opaque
/// directories, files over directories and back, hard links to lower layers (their targets through
/// symlinks as well; one that leads nowhere is left out). A directory of a layer replaces a symlink
/// of a lower one even when it is only part of a path, with the attributes of what the link led to:
/// that is what containerd, docker and podman make of it with overlay. Immutable; any thread.
class MergedTree {
 public:
  struct Node {
    uint32_t layer = 0;  ///< whose inode it is (bottom is 0)
    layer::InodeIndex inode = 0;
    uint32_t links = 0;  ///< on the merged tree
    NodeIndex parent = 0;
    std::vector<std::pair<std::string, NodeIndex>> children;  ///< sorted by name
  };

  /// Bottom layer first.
  explicit MergedTree(const std::vector<std::shared_ptr<const layer::LayerIndex>>& layers);

  [[nodiscard]] NodeIndex root() const noexcept { return 0; }
  [[nodiscard]] size_t size() const noexcept { return nodes_.size(); }
  [[nodiscard]] const Node& node(NodeIndex index) const { return nodes_.at(index); }
  [[nodiscard]] std::optional<NodeIndex> find(NodeIndex directory, std::string_view name) const;

 private:
  std::vector<Node> nodes_;
};

}  // namespace swarmfs::image
