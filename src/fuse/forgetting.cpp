// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fuse/forgetting.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fuse/node_id.h"

namespace swarmfs::fuse {

namespace {

// Both say ENOENT of what the kernel does not know, which is as well.
void forget_node(fuse_session* session, NodeId node) {
  fuse_lowlevel_notify_inval_inode(session, node.number(), 0, 0);
}

void forget_name(fuse_session* session, NodeId directory, const std::string& name) {
  fuse_lowlevel_notify_inval_entry(session, directory.number(), name.c_str(), name.size());
}

void forget_layer(fuse_session* session, uint32_t slot, const layer::FileTable& files) {
  forget_node(session, {NodeKind::blob, slot, 0});
  for (layer::InodeIndex i = 0; i < files.size(); ++i) {
    const NodeId node{NodeKind::layer_inode, slot, i};
    forget_node(session, node);
    if (files.inode(i).type != layer::FileType::directory) continue;
    for (const auto& child : files.children(i)) forget_name(session, node, child.name);
    for (const auto& name : files.whiteouts(i)) forget_name(session, node, name);
  }
}

}  // namespace

void forget_image(fuse_session* session, const image::Image& image) {
  for (image::NodeIndex i = 0; i < image.tree->size(); ++i) {
    const NodeId node{NodeKind::image_node, image.slot, i};
    forget_node(session, node);
    for (const auto& [name, child] : image.tree->node(i).children) forget_name(session, node, name);
  }
  for (size_t i = 0; i < image.contents.size(); ++i)
    forget_layer(session, image.layer_slots[i], image.contents[i]->index->files);
}

}  // namespace swarmfs::fuse
