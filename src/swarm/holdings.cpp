// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/holdings.h"

#include <algorithm>

#include "swarm/block_set.h"

namespace swarmfs::swarm {

bool is_here(const HeldLayer& held, chunk::BlockRange blocks) {
  BlockSet wanted(blocks.count);
  for (const auto& one : held.presence) {
    const uint64_t first = std::max(one.first, blocks.first);
    const uint64_t end = std::min(one.end(), blocks.end());
    if (first < end) wanted.add({first - blocks.first, end - first});
  }
  return wanted.has({0, blocks.count});
}

bool is_coming(const HeldLayer& held, chunk::BlockRange blocks) {
  return std::any_of(held.coming.begin(), held.coming.end(), [&](const chunk::BlockRange& one) {
    return one.first < blocks.end() && blocks.first < one.end();
  });
}

}  // namespace swarmfs::swarm
