// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layer/file_table.h"
#include "layer/link_walk.h"

namespace swarmfs::layer {

/// Turns tar entries, in the order of the archive, into a file table, as containerd unpacks a layer
/// for overlayfs: into a folder of its own, so that symlinks of lower layers do not count. A later
/// entry of a name replaces the earlier one; a directory over a directory only takes the
/// attributes. Paths are cleaned below the root ("/../x" is "x"); all names but the last are
/// followed through the symlinks that came before, also for whiteouts and for what a hard link
/// leads to. Throws BadLayer.
class FileTableBuilder {
 public:
  /// How much it keeps of names, link targets, xattrs and extents: an archive compresses well.
  static constexpr size_t kMaxText = 1 << 30;

  explicit FileTableBuilder(size_t max_text = kMaxText);
  void add(std::string_view path, Inode inode);
  /// `attributes` (mode, owner, time, xattrs) are given to the file that `target` names.
  void add_hard_link(std::string_view path, std::string_view target, Inode attributes);
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
  using Foreign = std::map<std::pair<InodeIndex, std::string>, std::string>;

  Place place(std::string_view path);
  InodeIndex enter(InodeIndex directory, const std::string& name);
  void put(const Place& where, Inode inode);
  bool note_whiteout(const Place& where);
  InodeIndex make(Inode inode);
  void assign(const Place& where, InodeIndex inode);
  void bury(InodeIndex inode);
  std::optional<Place> look_up(std::string_view path);
  std::string foreign_target(const std::optional<Place>& place, std::string_view target) const;
  [[nodiscard]] const std::string* link_of(InodeIndex inode) const;
  void count_links();
  void weigh(const Inode& inode);
  void count_text(size_t bytes);

  std::vector<Slot> slots_;
  Foreign foreign_;  ///< what they lead to, by parent and name
  LinkWalker walker_;
  size_t text_left_;
};

}  // namespace swarmfs::layer
