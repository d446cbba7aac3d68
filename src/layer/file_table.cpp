// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/file_table.h"

#include <algorithm>
#include <cassert>

namespace swarmfs::layer {

FileTable::FileTable(std::vector<Inode> inodes, std::vector<Directory> directories,
                     std::vector<ForeignLink> foreign_links)
    : inodes_(std::move(inodes)),
      directories_(std::move(directories)),
      foreign_links_(std::move(foreign_links)),
      parents_(inodes_.size(), 0) {
  assert(!inodes_.empty() && inodes_.size() == directories_.size());
  for (InodeIndex directory = 0; directory < directories_.size(); ++directory)
    for (const auto& child : directories_[directory].children) parents_.at(child.inode) = directory;
}

std::optional<InodeIndex> FileTable::find(InodeIndex directory, std::string_view name) const {
  const auto& children = directories_.at(directory).children;
  const auto found = std::lower_bound(
      children.begin(), children.end(), name,
      [](const Name& entry, std::string_view wanted) { return entry.name < wanted; });
  if (found == children.end() || found->name != name) return std::nullopt;
  return found->inode;
}

}  // namespace swarmfs::layer
