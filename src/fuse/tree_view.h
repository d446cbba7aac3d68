// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuse/node_id.h"
#include "image/image_library.h"

namespace swarmfs::fuse {

/// The mount as a tree of names and attributes, without the kernel:
///   blobs/sha256/<hex>, layers/<hex>/diff/…, images/<name>/rootfs/…,
///   images/<encoded reference> → the newest <name>
/// Any thread.
class TreeView {
 public:
  using Xattrs = std::vector<std::pair<std::string, std::string>>;
  struct File {
    std::shared_ptr<const content::Content> content;
    layer::InodeIndex inode = 0;
  };

  explicit TreeView(image::ImageLibrary& images) : images_(images) {}

  struct Found {
    bool known = false;  ///< the directory; else nothing can be said of what is in it
    std::optional<NodeId> node;
  };

  [[nodiscard]] Found look_up(NodeId directory, std::string_view name) const;
  [[nodiscard]] std::optional<struct stat> attributes(NodeId node) const;
  [[nodiscard]] NodeId parent(NodeId directory) const;
  /// Shows names without "." and "..", always in the same order, from number `from` on until
  /// `visit` says no. False: no such directory now.
  using Visit = std::function<bool(const std::string& name, NodeId node)>;
  bool list(NodeId directory, size_t from, const Visit& visit) const;
  [[nodiscard]] std::optional<std::string> symlink_target(NodeId node) const;
  [[nodiscard]] Xattrs xattrs(NodeId node) const;
  /// Whether names below may come and go.
  [[nodiscard]] static bool is_dynamic(NodeId directory);
  /// A regular file of a tree; empty for other nodes.
  [[nodiscard]] std::optional<File> file(NodeId node) const;
  /// The layer whose raw bytes a blob node shows.
  [[nodiscard]] std::shared_ptr<const content::Content> blob(NodeId node) const;

 private:
  [[nodiscard]] std::optional<File> inode_of(NodeId node) const;
  [[nodiscard]] std::vector<std::pair<std::string, NodeId>> names_of_top(NodeId directory) const;
  [[nodiscard]] NodeId layer_parent(NodeId directory) const;
  [[nodiscard]] NodeId image_child(const image::Image& image, image::NodeIndex node) const;

  image::ImageLibrary& images_;
};

}  // namespace swarmfs::fuse
