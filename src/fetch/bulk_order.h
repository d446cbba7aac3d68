// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "chunk/block.h"
#include "util/clock.h"

/// In which order bulk asks for a layer. Pure.
namespace swarmfs::fetch {

/// From the front, so that who reads along is never far behind, but window by window, and each
/// window from a place of the node's own and round: nodes that bring in the same layer soon have
/// something to give each other, and do not all stand before the one that has what comes next. A
/// few find that in small windows (8 MiB), and what reads along waits for little; a crowd needs
/// large ones (128 MiB).
struct BulkOrder {
  double turn = 0;  ///< where in a window it begins, [0, 1)
  bool crowd = false;
  bool operator==(const BulkOrder&) const = default;
};
/// Of a node whose own `turn` it is, where so many others bring the layer in, after the order
/// `before`: that one where nobody else wants it, and what was a crowd once stays one.
BulkOrder order_among(size_t wanting, double turn, const BulkOrder& before = {});

/// The blocks at `position` (< `count`, the layer's blocks) of that order and those after it that
/// follow in the layer, too.
chunk::BlockRange blocks_at(uint64_t position, uint64_t count, const BulkOrder& order);

/// All owners are heard of within about a second.
inline constexpr std::chrono::milliseconds kStandInAfter{1'000};
/// So long after all of its own share is here a node brings in others' as well, of what nobody is
/// known to have, where a request of the registry `takes` so long: from kStandInAfter to 10 s, for
/// shares are not quite equal, and those who have a few chunks more are not late.
util::Duration stands_in_after(util::Duration takes);

/// Where in that order the block's window begins: not after any of its blocks.
uint64_t window_begin(uint64_t block, const BulkOrder& order);

/// Whether what others bring in from who has it (chunk::Plan::theirs) is left to them: while there
/// is more of our own share to ask for and for so long after it (`share_asked`: when all of it was;
/// empty: not yet), and then while our link is full; never longer than anything comes (`came`: what
/// did not wait for others, last).
bool leaves_to_others(util::SteadyTime now, util::SteadyTime came,
                      std::optional<util::SteadyTime> share_asked, bool link_full);

/// Of what others bring bulk asks first for what one of them has. It looks ahead for such past so
/// many chunks that it lacks and nobody gives, of so many in all: a chunk that is late must not
/// keep it from all that comes much later.
inline constexpr unsigned kMostAhead = 128, kMostPassed = 16'384;
/// Where there is none, whether it asks for the next in order all the same, for somebody to get it
/// from the registry. `waiting`: bytes that it asked for so, of the `limit` that it may have under
/// way. Not with all of it: who brings his share brings it unasked, and who waits for that takes no
/// part in what goes round by then.
bool may_wait_for_share(uint64_t waiting, uint64_t limit);

}  // namespace swarmfs::fetch
