// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <vector>

#include "chunk/block.h"
#include "chunk/store.h"
#include "util/digest.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"

namespace swarmfs::fetch {

/// A block of a layer that is here, by which somebody else can show that it holds the layer too.
struct HeldBlock {
  util::ByteRange range;
  util::SharedBytes bytes;
};

/// A layer that nothing vouches for is hashed on the spot up to this size.
inline constexpr uint64_t kHashedAtOnce = 1 << 20;

/// The first block of those that are here from one on that depends on the layer and `secret`: who
/// knows some of a layer cannot ask again until it is a block that he knows. `checked`: what is
/// here was. Empty: nothing is that was checked. A Failure: it cannot be read. Blocking.
util::Outcome<std::optional<HeldBlock>> held_block(chunk::StoredLayer& stored, bool checked,
                                                   util::ByteView secret);

/// The first block from `start` on, and round, of `count` that is in none of the runs (ascending).
std::optional<uint64_t> present_from(uint64_t start, uint64_t count,
                                     const std::vector<chunk::BlockRange>& missing);

}  // namespace swarmfs::fetch
