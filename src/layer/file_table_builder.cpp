// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/file_table_builder.h"

#include <algorithm>

#include "layer/bad_layer.h"

namespace swarmfs::layer {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr size_t kMaxInodes = 4'000'000;

Inode implied_directory() {
  Inode inode;
  inode.type = FileType::directory;
  inode.mode = 0755;
  inode.implied = true;
  return inode;
}

/// Trees are walked by recursion, and no kernel could be asked for more.
std::vector<std::string> checked(std::vector<std::string> names, std::string_view path) {
  if (path.size() > kLongestPath)
    throw BadLayer("a path of " + std::to_string(path.size()) + " bytes");
  for (const auto& name : names)
    if (name.size() > kLongestName)
      throw BadLayer("a name of " + std::to_string(name.size()) + " bytes");
  return names;
}

/// Unpackers apply the attributes of a link's entry as well.
void take_attributes(Inode& to, Inode from) {
  if (to.type != FileType::symlink) to.mode = from.mode;
  to.uid = from.uid;
  to.gid = from.gid;
  to.mtime_s = from.mtime_s;
  to.mtime_ns = from.mtime_ns;
  for (auto& [name, value] : from.xattrs) {
    const auto known = std::find_if(to.xattrs.begin(), to.xattrs.end(),
                                    [&](const auto& xattr) { return xattr.first == name; });
    if (known == to.xattrs.end())
      to.xattrs.emplace_back(name, std::move(value));
    else
      known->second = std::move(value);
  }
}

}  // namespace

FileTableBuilder::FileTableBuilder(size_t max_text) : text_left_(max_text) {
  make(implied_directory());
}

InodeIndex FileTableBuilder::make(Inode inode) {
  if (slots_.size() >= kMaxInodes) throw BadLayer("more than 4 million entries");
  weigh(inode);
  slots_.push_back({std::move(inode), {}, {}});
  return static_cast<InodeIndex>(slots_.size() - 1);
}

void FileTableBuilder::weigh(const Inode& inode) {
  count_text(inode.symlink_target.size() + inode.extents.size() * sizeof(Extent));
  for (const auto& [name, value] : inode.xattrs) count_text(name.size() + value.size());
}

void FileTableBuilder::count_text(size_t bytes) {
  if (bytes > text_left_) throw BadLayer("too much text in names, links and attributes");
  text_left_ -= bytes;
}

const std::string* FileTableBuilder::link_of(InodeIndex inode) const {
  const auto& found = slots_[inode].inode;
  return found.type == FileType::symlink ? &found.symlink_target : nullptr;
}

/// What `name` stands for on the way to something else.
InodeIndex FileTableBuilder::enter(InodeIndex directory, const std::string& name) {
  const auto found = slots_[directory].children.find(name);
  if (found == slots_[directory].children.end()) {
    const InodeIndex made = make(implied_directory());
    assign({directory, name}, made);
    return made;
  }
  const auto type = slots_[found->second].inode.type;
  if (type != FileType::directory && type != FileType::symlink)
    throw BadLayer("'" + name + "' is not a directory, but something lies under it");
  return found->second;
}

FileTableBuilder::Place FileTableBuilder::place(std::string_view path) {
  auto names = checked(clean_path(path), path);
  if (names.empty()) return {0, ""};
  std::string name = std::move(names.back());
  names.pop_back();
  const auto walked = walker_.walk<InodeIndex>(
      0, std::move(names), [this](InodeIndex at, const auto& part) { return enter(at, part); },
      [this](InodeIndex at) { return link_of(at); });
  if (!walked.end) throw BadLayer("too many links on the way to '" + std::string(path) + "'");
  return {*walked.end, std::move(name)};
}

bool FileTableBuilder::note_whiteout(const Place& where) {
  if (!where.name.starts_with(kWhiteout)) return false;
  auto& parent = slots_[where.parent];
  if (where.name == kOpaque) {
    parent.inode.opaque = true;
  } else if (!where.name.starts_with(".wh..wh.")) {
    const std::string hidden = where.name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..")
      throw BadLayer("a whiteout without a name");
    count_text(hidden.size());
    parent.whiteouts.push_back(hidden);
  }
  return true;
}

void FileTableBuilder::add(std::string_view path, Inode inode) {
  put(place(path), std::move(inode));
}

void FileTableBuilder::put(const Place& where, Inode inode) {
  if (note_whiteout(where)) return;
  const bool is_directory = inode.type == FileType::directory;
  if (where.name.empty()) {
    if (!is_directory) throw BadLayer("the root is not a directory");
    inode.opaque = slots_[0].inode.opaque;
    slots_[0].inode = std::move(inode);
    return;
  }
  const auto found = slots_[where.parent].children.find(where.name);
  if (found != slots_[where.parent].children.end()) {
    auto& old = slots_[found->second].inode;
    if (is_directory && old.type == FileType::directory) {
      inode.opaque = old.opaque;
      old = std::move(inode);
      return;
    }
  }
  assign(where, make(std::move(inode)));
}

void FileTableBuilder::assign(const Place& where, InodeIndex inode) {
  count_text(where.name.size());
  foreign_.erase({where.parent, where.name});
  auto& children = slots_[where.parent].children;
  const auto [place, fresh] = children.try_emplace(where.name, inode);
  if (fresh) return;
  bury(std::exchange(place->second, inode));
}

/// A directory that was replaced: what lay in it has lost a name.
void FileTableBuilder::bury(InodeIndex inode) {
  std::vector<InodeIndex> open{inode};
  while (!open.empty()) {
    const InodeIndex at = open.back();
    open.pop_back();
    if (slots_[at].inode.type != FileType::directory) continue;
    for (const auto& [name, child] : slots_[at].children) open.push_back(child);
    slots_[at].children.clear();
    slots_[at].whiteouts.clear();
    foreign_.erase(foreign_.lower_bound({at, ""}), foreign_.lower_bound({at + 1, ""}));
  }
}

/// Where `path` would be; nothing when this layer does not have the directory.
std::optional<FileTableBuilder::Place> FileTableBuilder::look_up(std::string_view path) {
  auto names = checked(split_path(path), path);
  if (names.empty()) return Place{0, ""};
  std::string name = std::move(names.back());
  names.pop_back();
  const auto walked = walker_.walk<InodeIndex>(
      0, std::move(names),
      [this](InodeIndex at, const auto& part) -> std::optional<InodeIndex> {
        const auto found = slots_[at].children.find(part);
        if (found == slots_[at].children.end()) return std::nullopt;
        return found->second;
      },
      [this](InodeIndex at) { return link_of(at); });
  if (walked.endless) throw BadLayer("too many links on the way to '" + std::string(path) + "'");
  return walked.end ? std::optional(Place{*walked.end, std::move(name)}) : std::nullopt;
}

std::string FileTableBuilder::foreign_target(const std::optional<Place>& place,
                                             std::string_view target) const {
  if (place)
    if (const auto known = foreign_.find({place->parent, place->name}); known != foreign_.end())
      return known->second;
  std::string clean;
  for (const auto& part : clean_path(target)) clean += (clean.empty() ? "" : "/") + part;
  return clean;
}

void FileTableBuilder::add_hard_link(std::string_view path, std::string_view target,
                                     Inode attributes) {
  const Place where = place(path);
  if (note_whiteout(where)) return;
  if (where.name.empty()) throw BadLayer("the root is a hard link");
  const auto from = look_up(target);
  if (from) {
    const auto& children = slots_[from->parent].children;
    const auto found = children.find(from->name);
    const bool root = from->name.empty() || from->name == "..";
    if (root ||
        (found != children.end() && slots_[found->second].inode.type == FileType::directory))
      throw BadLayer("'" + std::string(path) + "' is a hard link to a directory");
    if (found != children.end()) {
      const InodeIndex inode = found->second;
      weigh(attributes);
      take_attributes(slots_[inode].inode, std::move(attributes));
      assign(where, inode);
      return;
    }
  }
  std::string foreign = foreign_target(from, target);
  count_text(where.name.size() + foreign.size());
  auto& children = slots_[where.parent].children;
  if (const auto old = children.find(where.name); old != children.end()) {
    bury(old->second);
    children.erase(where.name);
  }
  foreign_.insert_or_assign({where.parent, where.name}, std::move(foreign));
}

void FileTableBuilder::count_links() {
  for (auto& slot : slots_) slot.inode.links = slot.inode.type == FileType::directory ? 2 : 0;
  for (auto& slot : slots_)
    for (const auto& [name, child] : slot.children) {
      if (slots_[child].inode.type == FileType::directory)
        ++slot.inode.links;
      else
        ++slots_[child].inode.links;
    }
}

FileTable FileTableBuilder::finish() {
  count_links();
  std::vector<Inode> inodes;
  std::vector<FileTable::Directory> directories;
  inodes.reserve(slots_.size());
  directories.reserve(slots_.size());
  for (auto& slot : slots_) {
    FileTable::Directory directory;
    for (const auto& [name, child] : slot.children) directory.children.push_back({name, child});
    std::sort(slot.whiteouts.begin(), slot.whiteouts.end());
    slot.whiteouts.erase(std::unique(slot.whiteouts.begin(), slot.whiteouts.end()),
                         slot.whiteouts.end());
    // An entry of the same layer stands above its own whiteout.
    std::erase_if(slot.whiteouts, [&](const auto& name) { return slot.children.contains(name); });
    directory.whiteouts = std::move(slot.whiteouts);
    inodes.push_back(std::move(slot.inode));
    directories.push_back(std::move(directory));
  }
  std::vector<ForeignLink> foreign;
  for (auto& [place, target] : foreign_)
    foreign.push_back({place.first, place.second, std::move(target)});
  return {std::move(inodes), std::move(directories), std::move(foreign)};
}

}  // namespace swarmfs::layer
