// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/copies.h"

#include <algorithm>

#include "chunk/block.h"

namespace swarmfs::swarm {

Copies count_copies(std::span<const BlockSet> nodes, uint64_t layer_size) {
  Copies made;
  const uint64_t blocks = chunk::block_count(layer_size);
  const uint64_t per_chunk = chunk::chunk_size(layer_size) / chunk::kBlockSize;
  for (uint64_t first = 0; first < blocks; first += per_chunk) {
    const chunk::BlockRange part{first, std::min(per_chunk, blocks - first)};
    const auto copies =
        static_cast<uint64_t>(std::count_if(nodes.begin(), nodes.end(), [&](const BlockSet& node) {
          return node.size() == blocks && node.has(part);
        }));
    if (made.chunks++ == 0 || copies < made.rarest) {
      made.rarest = copies;
      made.as_rare = 0;
    }
    made.as_rare += copies == made.rarest;
  }
  return made;
}

}  // namespace swarmfs::swarm
