// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/file_table_builder.h"

#include <algorithm>

#include "layer/bad_layer.h"

namespace swarmfs::layer {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr size_t kLongestPath = 4095;  // PATH_MAX without its zero
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr size_t kMaxInodes = 4'000'000;

Inode implied_directory() {
  Inode inode;
  inode.type = FileType::directory;
  inode.mode = 0755;
  inode.implied = true;
  return inode;
}

}  // namespace

std::vector<std::string> clean_path(std::string_view path) {
  // What no kernel could be asked for; and trees are walked by recursion.
  if (path.size() > kLongestPath)
    throw BadLayer("a path of " + std::to_string(path.size()) + " bytes");
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      if (part.size() > 255) throw BadLayer("a name of " + std::to_string(part.size()) + " bytes");
      parts.emplace_back(part);
    }
  }
  return parts;
}

FileTableBuilder::FileTableBuilder() {
  make(implied_directory());
}

InodeIndex FileTableBuilder::make(Inode inode) {
  if (slots_.size() >= kMaxInodes) throw BadLayer("more than 4 million entries");
  slots_.push_back({std::move(inode), {}, {}});
  return static_cast<InodeIndex>(slots_.size() - 1);
}

FileTableBuilder::Place FileTableBuilder::place(std::string_view path) {
  auto parts = clean_path(path);
  if (parts.empty()) return {0, ""};
  std::string name = std::move(parts.back());
  parts.pop_back();
  InodeIndex at = 0;
  for (const auto& part : parts) {
    const auto found = slots_[at].children.find(part);
    if (found == slots_[at].children.end()) {
      const InodeIndex made = make(implied_directory());
      slots_[at].children.emplace(part, made);
      at = made;
    } else {
      at = found->second;
      if (slots_[at].inode.type != FileType::directory)
        throw BadLayer("'" + std::string(path) + "' lies under '" + part +
                       "', which is not a directory");
    }
  }
  return {at, std::move(name)};
}

bool FileTableBuilder::note_whiteout(const Place& where) {
  if (!where.name.starts_with(kWhiteout)) return false;
  auto& parent = slots_[where.parent];
  if (where.name == kOpaque) {
    parent.inode.opaque = true;
  } else if (!where.name.starts_with(".wh..wh.")) {
    const std::string hidden = where.name.substr(kWhiteout.size());
    if (hidden.empty()) throw BadLayer("a whiteout without a name");
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
  const InodeIndex made = make(std::move(inode));  // first: it may move all slots
  slots_[where.parent].children.insert_or_assign(where.name, made);
}

const InodeIndex* FileTableBuilder::look_up(std::string_view path) const {
  const InodeIndex* found = nullptr;
  InodeIndex at = 0;
  for (const auto& part : clean_path(path)) {
    const auto child = slots_[at].children.find(part);
    if (child == slots_[at].children.end()) return nullptr;
    found = &child->second;
    at = child->second;
  }
  return found;
}

void FileTableBuilder::add_hard_link(std::string_view path, std::string_view target) {
  const Place where = place(path);
  if (note_whiteout(where)) return;
  if (where.name.empty()) throw BadLayer("the root is a hard link");
  if (const InodeIndex* found = look_up(target)) {
    if (slots_[*found].inode.type == FileType::directory)
      throw BadLayer("'" + std::string(path) + "' is a hard link to a directory");
    const InodeIndex inode = *found;
    slots_[where.parent].children.insert_or_assign(where.name, inode);
    return;
  }
  std::string clean;
  for (const auto& part : clean_path(target)) clean += (clean.empty() ? "" : "/") + part;
  slots_[where.parent].children.erase(where.name);
  foreign_.push_back({where.parent, where.name, std::move(clean)});
}

FileTable FileTableBuilder::finish() {
  for (auto& slot : slots_) slot.inode.links = slot.inode.type == FileType::directory ? 2 : 0;
  for (auto& slot : slots_)
    for (const auto& [name, child] : slot.children) {
      if (slots_[child].inode.type == FileType::directory)
        ++slot.inode.links;
      else
        ++slots_[child].inode.links;
    }
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
  return {std::move(inodes), std::move(directories), std::move(foreign_)};
}

}  // namespace swarmfs::layer
