// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include "fuse/errno_door.h"
#include "fuse/node_id.h"

namespace swarmfs::fuse {
namespace {

TEST(NodeId, survives_its_number) {
  for (const NodeId id :
       {NodeId{NodeKind::image_node, 0xffffff, 0xffffffff}, NodeId{NodeKind::blob, 1, 0},
        NodeId{NodeKind::layer_inode, 7, 42}, NodeId::of(Fixed::images)})
    EXPECT_EQ(NodeId::from(id.number()), id);
}

TEST(NodeId, the_root_is_what_the_kernel_calls_it) {
  EXPECT_EQ(NodeId::of(Fixed::root).number(), 1u);
}

}  // namespace
}  // namespace swarmfs::fuse
