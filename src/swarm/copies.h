// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <span>

#include "swarm/block_set.h"

namespace swarmfs::swarm {

/// How often what is rarest of a layer exists.
struct Copies {
  uint64_t chunks = 0;   ///< of the layer
  uint64_t rarest = 0;   ///< nodes that have all of the chunk that fewest have
  uint64_t as_rare = 0;  ///< chunks with so few copies
  bool operator==(const Copies&) const = default;
};

/// `nodes`: what each has of the layer; sets of another number of blocks than the layer's count as
/// nothing. Pure.
Copies count_copies(std::span<const BlockSet> nodes, uint64_t layer_size);

}  // namespace swarmfs::swarm
