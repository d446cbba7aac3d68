// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fuse/tree_view.h"

#include <sys/sysmacros.h>

#include <algorithm>

namespace swarmfs::fuse {

using layer::FileType;

namespace {

struct stat directory_stat(NodeId node) {
  struct stat made {};
  made.st_ino = node.number();
  made.st_mode = S_IFDIR | 0755;
  made.st_nlink = 2;
  made.st_size = 4096;
  made.st_blksize = 4096;
  return made;
}

mode_t type_bits(FileType type) {
  switch (type) {
    case FileType::regular:
      return S_IFREG;
    case FileType::directory:
      return S_IFDIR;
    case FileType::symlink:
      return S_IFLNK;
    case FileType::char_device:
      return S_IFCHR;
    case FileType::block_device:
      return S_IFBLK;
    case FileType::fifo:
      return S_IFIFO;
  }
  return S_IFREG;
}

struct stat inode_stat(NodeId node, const layer::Inode& inode, uint32_t links) {
  struct stat made {};
  made.st_ino = node.number();
  made.st_mode = type_bits(inode.type) | inode.mode;
  made.st_nlink = links;
  made.st_uid = inode.uid;
  made.st_gid = inode.gid;
  made.st_rdev = makedev(inode.rdev_major, inode.rdev_minor);
  made.st_size = inode.type == FileType::directory ? 4096 : static_cast<off_t>(inode.size);
  made.st_blksize = 4096;
  made.st_blocks = (made.st_size + 511) / 512;
  made.st_mtim = {inode.mtime_s, inode.mtime_ns};
  made.st_atim = made.st_ctim = made.st_mtim;
  return made;
}

}  // namespace

bool TreeView::is_dynamic(NodeId directory) {
  return directory.kind == NodeKind::fixed;
}

NodeId TreeView::image_child(const image::Image& image, image::NodeIndex index) const {
  const auto& node = image.tree->node(index);
  const auto& inode = image.contents[node.layer]->index->files.inode(node.inode);
  // The same file in two images is one node, and so one copy in the page cache.
  if (inode.type != FileType::directory && inode.links == node.links)
    return {NodeKind::layer_inode, image.layer_slots[node.layer], node.inode};
  return {NodeKind::image_node, image.slot, index};
}

std::optional<TreeView::File> TreeView::inode_of(NodeId node) const {
  if (node.kind == NodeKind::layer_inode) {
    const auto content = images_.layer_by_slot(node.slot);
    if (!content || node.index >= content->index->files.size()) return std::nullopt;
    return File{content, node.index};
  }
  if (node.kind == NodeKind::image_node) {
    const auto image = images_.image_by_slot(node.slot);
    if (!image || node.index >= image->tree->size()) return std::nullopt;
    const auto& merged = image->tree->node(node.index);
    return File{image->contents[merged.layer], merged.inode};
  }
  return std::nullopt;
}

std::optional<TreeView::File> TreeView::file(NodeId node) const {
  auto found = inode_of(node);
  if (found && found->content->index->files.inode(found->inode).type != FileType::regular)
    return std::nullopt;
  return found;
}

std::shared_ptr<const content::Content> TreeView::blob(NodeId node) const {
  return node.kind == NodeKind::blob ? images_.layer_by_slot(node.slot) : nullptr;
}

std::optional<struct stat> TreeView::attributes(NodeId node) const {
  switch (node.kind) {
    case NodeKind::fixed:
      return directory_stat(node);
    case NodeKind::layer_home:
      return images_.layer_by_slot(node.slot) ? std::optional(directory_stat(node)) : std::nullopt;
    case NodeKind::image_home:
      return images_.image_by_slot(node.slot) ? std::optional(directory_stat(node)) : std::nullopt;
    case NodeKind::whiteout: {
      layer::Inode inode;
      inode.type = FileType::char_device;
      return inode_stat(node, inode, 1);
    }
    case NodeKind::image_link: {
      const auto target = symlink_target(node);
      if (!target) return std::nullopt;
      layer::Inode inode;
      inode.type = FileType::symlink;
      inode.mode = 0777;
      inode.size = target->size();
      return inode_stat(node, inode, 1);
    }
    case NodeKind::blob: {
      const auto content = blob(node);
      if (!content) return std::nullopt;
      layer::Inode inode;
      inode.mode = 0444;
      inode.size = content->ref().size;
      return inode_stat(node, inode, 1);
    }
    case NodeKind::layer_inode:
    case NodeKind::image_node:
      break;
  }
  const auto found = inode_of(node);
  if (!found) return std::nullopt;
  const auto& inode = found->content->index->files.inode(found->inode);
  uint32_t links = inode.links;
  if (node.kind == NodeKind::image_node)
    if (const auto image = images_.image_by_slot(node.slot))
      links = image->tree->node(node.index).links;
  return inode_stat(node, inode, links);
}

TreeView::Found TreeView::look_up(NodeId directory, std::string_view name) const {
  if (directory.kind == NodeKind::layer_inode) {
    const auto content = images_.layer_by_slot(directory.slot);
    if (!content || directory.index >= content->index->files.size()) return {};
    const auto& files = content->index->files;
    if (const auto found = files.find(directory.index, name))
      return {true, NodeId{NodeKind::layer_inode, directory.slot, *found}};
    const auto whiteouts = files.whiteouts(directory.index);
    if (std::binary_search(whiteouts.begin(), whiteouts.end(), name))
      return {true, NodeId{NodeKind::whiteout, directory.slot, 0}};
    return {true, std::nullopt};
  }
  if (directory.kind == NodeKind::image_node) {
    const auto image = images_.image_by_slot(directory.slot);
    if (!image || directory.index >= image->tree->size()) return {};
    const auto found = image->tree->find(directory.index, name);
    return {true, found ? std::optional(image_child(*image, *found)) : std::nullopt};
  }
  std::optional<NodeId> found;
  const bool known = list(directory, 0, [&](const std::string& other, NodeId node) {
    if (other == name) found = node;
    return !found;
  });
  return {known, found};
}

NodeId TreeView::layer_parent(NodeId directory) const {
  const auto content = images_.layer_by_slot(directory.slot);
  const bool known = content && directory.index < content->index->files.size();
  if (directory.index == 0 || !known) return {NodeKind::layer_home, directory.slot, 0};
  return {NodeKind::layer_inode, directory.slot, content->index->files.parent(directory.index)};
}

NodeId TreeView::parent(NodeId directory) const {
  switch (directory.kind) {
    case NodeKind::layer_home:
      return NodeId::of(Fixed::layers);
    case NodeKind::image_home:
      return NodeId::of(Fixed::images);
    case NodeKind::layer_inode:
      return layer_parent(directory);
    case NodeKind::image_node: {
      const auto image = images_.image_by_slot(directory.slot);
      if (!image || directory.index == 0) return {NodeKind::image_home, directory.slot, 0};
      return {NodeKind::image_node, directory.slot, image->tree->node(directory.index).parent};
    }
    default:
      return directory == NodeId::of(Fixed::sha256) ? NodeId::of(Fixed::blobs)
                                                    : NodeId::of(Fixed::root);
  }
}

bool TreeView::list(NodeId directory, size_t from, const Visit& visit) const {
  if (directory.kind == NodeKind::layer_inode) {
    const auto content = images_.layer_by_slot(directory.slot);
    if (!content || directory.index >= content->index->files.size()) return false;
    const auto children = content->index->files.children(directory.index);
    const auto whiteouts = content->index->files.whiteouts(directory.index);
    for (size_t i = from; i < children.size() + whiteouts.size(); ++i) {
      const bool child = i < children.size();
      const auto& name = child ? children[i].name : whiteouts[i - children.size()];
      const auto node = child ? NodeId{NodeKind::layer_inode, directory.slot, children[i].inode}
                              : NodeId{NodeKind::whiteout, directory.slot, 0};
      if (!visit(name, node)) break;
    }
    return true;
  }
  if (directory.kind == NodeKind::image_node) {
    const auto image = images_.image_by_slot(directory.slot);
    if (!image || directory.index >= image->tree->size()) return false;
    const auto& children = image->tree->node(directory.index).children;
    for (size_t i = from; i < children.size(); ++i)
      if (!visit(children[i].first, image_child(*image, children[i].second))) break;
    return true;
  }
  if (!attributes(directory)) return false;
  const auto names = names_of_top(directory);
  for (size_t i = from; i < names.size(); ++i)
    if (!visit(names[i].first, names[i].second)) break;
  return true;
}

std::vector<std::pair<std::string, NodeId>> TreeView::names_of_top(NodeId directory) const {
  if (directory.kind == NodeKind::layer_home)
    return {{"diff", NodeId{NodeKind::layer_inode, directory.slot, 0}}};
  if (directory.kind == NodeKind::image_home)
    return {{"rootfs", NodeId{NodeKind::image_node, directory.slot, 0}}};
  if (directory == NodeId::of(Fixed::root))
    return {{"blobs", NodeId::of(Fixed::blobs)},
            {"images", NodeId::of(Fixed::images)},
            {"layers", NodeId::of(Fixed::layers)}};
  if (directory == NodeId::of(Fixed::blobs)) return {{"sha256", NodeId::of(Fixed::sha256)}};
  std::vector<std::pair<std::string, NodeId>> names;
  if (directory == NodeId::of(Fixed::images)) {
    for (const auto& image : images_.images())
      names.emplace_back(image->name, NodeId{NodeKind::image_home, image->slot, 0});
    for (const auto& [encoded, image] : images_.newest())
      names.emplace_back(encoded, NodeId{NodeKind::image_link, image->slot, 0});
    return names;
  }
  const auto kind = directory == NodeId::of(Fixed::layers) ? NodeKind::layer_home : NodeKind::blob;
  for (const auto& [digest, layer] : images_.layers())
    names.emplace_back(digest.hex(), NodeId{kind, layer.first, 0});
  return names;
}

std::optional<std::string> TreeView::symlink_target(NodeId node) const {
  if (node.kind == NodeKind::image_link) {
    const auto image = images_.image_by_slot(node.slot);
    return image ? std::optional(image->name) : std::nullopt;
  }
  const auto found = inode_of(node);
  if (!found) return std::nullopt;
  const auto& inode = found->content->index->files.inode(found->inode);
  return inode.type == FileType::symlink ? std::optional(inode.symlink_target) : std::nullopt;
}

TreeView::Xattrs TreeView::xattrs(NodeId node) const {
  const auto found = inode_of(node);
  if (!found) return {};
  const auto& inode = found->content->index->files.inode(found->inode);
  Xattrs all = inode.xattrs;
  if (node.kind == NodeKind::layer_inode && inode.opaque) {
    all.emplace_back("trusted.overlay.opaque", "y");
    all.emplace_back("user.overlay.opaque", "y");
  }
  return all;
}

}  // namespace swarmfs::fuse
