// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace swarmfs::layer {

enum class FileType : uint8_t { regular, directory, symlink, char_device, block_device, fifo };

/// A run of a file's bytes in the data space. What no extent covers reads as zeros (sparse file).
struct Extent {
  uint64_t file_offset = 0;
  uint64_t space_offset = 0;
  uint64_t length = 0;
  bool operator==(const Extent&) const = default;
};

/// Position of an inode in its layer's file table: stable for the life of the layer's digest.
using InodeIndex = uint32_t;

/// What a tar entry says of a file. Hard links are several names of one inode.
struct Inode {
  FileType type = FileType::regular;
  uint32_t mode = 0;  ///< permission, setuid, setgid and sticky bits (07777)
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  int64_t mtime_s = 0;
  uint32_t mtime_ns = 0;
  uint32_t rdev_major = 0;
  uint32_t rdev_minor = 0;
  uint32_t links = 1;    ///< names in this layer; of a directory 2 + its subdirectories
  bool implied = false;  ///< a directory without an entry of its own, only part of a path
  bool opaque = false;   ///< a directory that hides what lower layers have in it
  std::string symlink_target;
  std::vector<Extent> extents;  ///< ascending, apart
  std::vector<std::pair<std::string, std::string>> xattrs;
  bool operator==(const Inode&) const = default;
};

struct Name {
  std::string name;
  InodeIndex inode = 0;
  bool operator==(const Name&) const = default;
};

/// A hard link to a path that this layer does not contain; merging resolves it in a lower layer.
struct ForeignLink {
  InodeIndex parent = 0;
  std::string name;
  std::string target_path;  ///< relative to the root, cleaned
  bool operator==(const ForeignLink&) const = default;
};

/// What a layer contains: inodes, names, whiteouts, and where file bytes lie in the data space.
/// Immutable once built; any thread.
class FileTable {
 public:
  struct Directory {
    std::vector<Name> children;          ///< sorted by name
    std::vector<std::string> whiteouts;  ///< sorted names that are hidden in lower layers
    bool operator==(const Directory&) const = default;
  };

  FileTable() = default;
  /// `directories[i]` belongs to inode i (empty for other types). Inode 0 is the root.
  FileTable(std::vector<Inode> inodes, std::vector<Directory> directories,
            std::vector<ForeignLink> foreign_links);

  [[nodiscard]] InodeIndex root() const noexcept { return 0; }
  [[nodiscard]] size_t size() const noexcept { return inodes_.size(); }
  [[nodiscard]] const Inode& inode(InodeIndex index) const { return inodes_.at(index); }
  [[nodiscard]] std::span<const Name> children(InodeIndex directory) const {
    return directories_.at(directory).children;
  }
  [[nodiscard]] std::span<const std::string> whiteouts(InodeIndex directory) const {
    return directories_.at(directory).whiteouts;
  }
  /// The directory that a directory is in; the root's is the root.
  [[nodiscard]] InodeIndex parent(InodeIndex directory) const { return parents_.at(directory); }
  [[nodiscard]] std::optional<InodeIndex> find(InodeIndex directory, std::string_view name) const;
  [[nodiscard]] const std::vector<ForeignLink>& foreign_links() const { return foreign_links_; }
  bool operator==(const FileTable&) const = default;

 private:
  std::vector<Inode> inodes_;
  std::vector<Directory> directories_;
  std::vector<ForeignLink> foreign_links_;
  std::vector<InodeIndex> parents_;  ///< follows from the directories
};

}  // namespace swarmfs::layer
