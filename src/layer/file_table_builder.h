// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layer/file_table.h"

namespace swarmfs::layer {

/// Turns tar entries, in the order of the archive, into a file table. A later entry of a name
/// replaces the earlier one; a directory over a directory only takes the attributes. Paths are
/// cleaned below the root as containerd does it ("/../x" is "x"). Throws BadLayer.
class FileTableBuilder {
 public:
  FileTableBuilder();
  void add(std::string_view path, Inode inode);
  void add_hard_link(std::string_view path, std::string_view target);
  [[nodiscard]] FileTable finish();

 private:
  struct Slot {
    Inode inode;
    std::map<std::string, InodeIndex, std::less<>> children;
    std::vector<std::string> whiteouts;
  };
  struct Place {
    InodeIndex parent;
    std::string name;  ///< empty: the root itself
  };
  Place place(std::string_view path);
  void put(const Place& where, Inode inode);
  bool note_whiteout(const Place& where);
  InodeIndex make(Inode inode);
  const InodeIndex* look_up(std::string_view path) const;

  std::vector<Slot> slots_;
  std::vector<ForeignLink> foreign_;
};

/// The components of `path`, cleaned: no empty ones, no ".", ".." resolved inside the root.
std::vector<std::string> clean_path(std::string_view path);

}  // namespace swarmfs::layer
