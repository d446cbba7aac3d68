// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <atomic>
#include <latch>
#include <unordered_map>

#include "fetch/block_assembler.h"
#include "fetch/bulk_order.h"
#include "fetch/contradiction.h"
#include "fetch/fetcher.h"
#include "fetch/provenance.h"
#include "fetch/read_ahead.h"
#include "fetch/request_times.h"
#include "util/sync.h"

namespace swarmfs::fetch {

/// A read that waits. Its bytes are collected in `out`. Guarded by the brain's lock.
struct Waiter {
  util::ByteRange range;
  chunk::FetchContext context;
  std::shared_ptr<util::Bytes> out;
  uint64_t lacking = 0;  ///< bytes
  unsigned round = 0;    ///< it began again so often, because bytes it had proved wrong
  bool ended = false;
  util::SteadyTime started;
  util::SteadyTime until;  ///< no longer, whatever comes: as it was asked for
  Fetcher::OnRead on_read;
  util::CallbackGate gate;
  util::Operation timer;
};
using WaiterPtr = std::shared_ptr<Waiter>;

/// What one waiter wants of one flight.
struct Part {
  WaiterPtr waiter;
  util::ByteRange range;
};

struct Flight;
struct Bulk;

/// One source asked for what a flight still lacks. Owned by the flight and by the callbacks of its
/// transfer. Guarded by the brain's lock but for `blocks` and `first`.
struct Attempt {
  Attempt(std::shared_ptr<Flight> its_flight, size_t its_source, util::ByteRange its_range,
          util::Duration its_hedge)
      : flight(std::move(its_flight)),
        source(its_source),
        range(its_range),
        hedge(its_hedge),
        blocks(its_range) {}

  const std::shared_ptr<Flight> flight;
  const size_t source;
  const util::ByteRange range;
  const util::Duration hedge;
  BlockAssembler blocks;     ///< touched by the transfer's callbacks only
  util::SteadyTime first{};  ///< likewise: when its first byte came
  /// Down when `transfer` is set: the first callback may come before fetch() has returned.
  std::latch launched{1};
  bool ended = false;
  bool front_to_back = false;                           ///< as chunk::Plan
  chunk::Class cls = chunk::Class::fault;               ///< that its source was told
  util::SteadyTime deadline = util::SteadyTime::max();  ///< likewise
  /// Bulk of a registry: where it is timed.
  std::shared_ptr<RequestTimes> times;
  RequestTimes::Number timed = 0;
  std::unique_ptr<chunk::Transfer> transfer;
};
using AttemptPtr = std::shared_ptr<Attempt>;

/// A range on its way. Blocks stay in the layer's flight table until they are in the store. Only
/// whole blocks arrive; those of a sealed layer match its tree. Guarded by the brain's lock.
struct Flight {
  std::shared_ptr<Layer> layer;
  util::ByteRange range;  ///< from a block's start to a block's end or the layer's
  chunk::FetchContext context;
  std::shared_ptr<util::Bytes> buffer;  ///< null before somebody was asked
  uint64_t arrived = 0;
  uint64_t written = 0;   ///< handed to the store, or never to be
  unsigned writes = 0;    ///< under way in the store
  uint64_t unproven = 0;  ///< so many bytes arrived before the layer was sealed
  bool ended = false;
  bool paused = false;
  bool stood_still = false;  ///< was paused once
  bool ours = false;         ///< of our own share, or of nobody's: the registry's when it was made
  bool shared = false;       ///< others wait for it as well: see SharePace
  bool waits = false;  ///< others', and nobody had it when it was looked at last, in the queue
  util::SteadyTime looked{};
  bool queued = false;                   ///< waits for room in the inflow
  bool relayed = false;                  ///< for a peer's sake: not to peers
  bool admitted = false;                 ///< counts in the inflow
  std::vector<AttemptPtr> attempts;      ///< under way; more than one only until a block arrives
  std::vector<bool> spent;               ///< by source: it failed here and is not asked now
  unsigned revivals = 0;                 ///< of a source of peers
  std::optional<util::Failure> failure;  ///< see Brain::failed()
  unsigned weight_of_failure = 0;        ///< since a block arrived
  Contradiction contradiction;           ///< of the block that is next
  util::Duration hedge = util::Duration::max();
  util::SteadyTime progress;  ///< when a block arrived or a source was asked last
  bool in_turns = false;      ///< of who was asked last: see chunk::Plan
  unsigned look = 0;          ///< only the last look that was planned for a hedge counts
  std::vector<Part> parts;
  std::shared_ptr<Bulk> bulk;    ///< of backfill and pull
  uint64_t weight = 0;           ///< bytes of its bulk's limit
  bool waits_for_share = false;  ///< see may_wait_for_share

  [[nodiscard]] util::ByteRange rest() const {
    return {range.offset + arrived, range.length - arrived};
  }
  /// A fault waits for it.
  [[nodiscard]] bool awaited_by_reader() const {
    return context.cls == chunk::Class::fault ||
           std::any_of(parts.begin(), parts.end(), [](const Part& part) {
             return !part.waiter->ended && part.waiter->context.cls == chunk::Class::fault;
           });
  }
  /// Somebody waits for it who gives up where it is late.
  [[nodiscard]] bool awaited() const {
    return std::any_of(parts.begin(), parts.end(), [](const Part& part) {
      return !part.waiter->ended && part.waiter->context.awaited;
    });
  }
  /// Somebody joined whose deadline is later.
  [[nodiscard]] bool wanted_after(util::SteadyTime deadline) const {
    return std::any_of(parts.begin(), parts.end(), [&](const Part& part) {
      return !part.waiter->ended && part.waiter->context.deadline > deadline;
    });
  }
};
using FlightPtr = std::shared_ptr<Flight>;

/// One bring_in(). Guarded by the brain's lock.
struct Bulk {
  std::shared_ptr<Layer> layer;
  chunk::Class cls = chunk::Class::backfill;
  BulkOrder order{};          ///< from the front until others want the layer as well
  bool in_order = false;      ///< for good: it is read so, or given
  uint64_t cursor = 0;        ///< position in that order
  uint64_t share_cursor = 0;  ///< as `cursor`, of our own share
  uint64_t spare_cursor = 0;  ///< chunks from the end, in search of what others should have brought
  bool had_share = false;     ///< something was ours
  std::optional<util::SteadyTime> looks_from{};  ///< for such; set once our own share is here
  uint64_t in_flight = 0;                        ///< weight of its flights, bytes
  uint64_t ours = 0;                             ///< of these: of our own share
  uint64_t shared = 0;                           ///< of `in_flight`: see Flight
  uint64_t waiting = 0;      ///< of these: that nobody had when it was asked for
  bool awaits_news = false;  ///< of peers, to go on
  const util::SteadyTime began = std::chrono::steady_clock::now();
  std::optional<util::SteadyTime> progress{};  ///< when a block came last
  /// Likewise, of what did not wait for somebody's share; at first when it began.
  util::SteadyTime came = std::chrono::steady_clock::now();
  std::optional<util::SteadyTime> share_asked{};  ///< when all of our own share was asked for
  bool leaves = false;  ///< what it awaits news for; see leaves_to_others()
  bool ended = false;
  std::optional<util::Failure> failure;
  Fetcher::OnDone on_done;
  util::CallbackGate gate;

  /// From the front, again: what was asked for is passed over.
  void go_in_order() {
    if (order != BulkOrder()) rewind();
    order = {};
    in_order = true;
  }
  /// As so many others bring it in.
  void go_among(size_t wanting, double turn) {
    const auto best = order_among(wanting, turn, order);
    if (in_order || order == best) return;
    rewind();
    order = best;
  }
  /// Or further; what was asked for is passed over.
  void go_back_to(uint64_t block) {
    const uint64_t position = window_begin(block, order);
    cursor = std::min(cursor, position);
    share_cursor = std::min(share_cursor, position);
  }
  void rewind() {
    cursor = share_cursor = spare_cursor = 0;
    looks_from.reset();
    share_asked.reset();
  }
};

/// What a layer's blocks must match, and on whose word.
struct Seal {
  std::shared_ptr<const chunk::HashTree> tree{};  ///< null: nobody's, the layer is provisional
  std::string claimant{};                         ///< another node; empty: this one's

  [[nodiscard]] bool claimed() const { return tree && !claimant.empty(); }
};

/// What is known of a layer's bytes, shared by all Layers of one digest. Guarded by the brain's
/// lock but for `seal`, which is changed under it only.
struct LayerState {
  explicit LayerState(uint64_t size) : provenance(chunk::block_count(size)) {}

  std::unordered_map<uint64_t, FlightPtr> by_block;
  ReadAhead read_ahead;
  Provenance provenance;
  uint64_t inflow = 0;        ///< bytes of its flights that are admitted
  bool peers_barred = false;  ///< what they gave was wrong, and who lied is not known
  bool in_use = false;        ///< was brought in otherwise than by a pull
  util::Sync<Seal> seal;
  std::atomic<unsigned> discards{0};
};

constexpr bool is_bulk(chunk::Class cls) noexcept {
  return cls == chunk::Class::prefetch || cls == chunk::Class::backfill;
}

}  // namespace swarmfs::fetch
