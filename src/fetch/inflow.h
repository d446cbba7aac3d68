// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "chunk/fetch_context.h"

/// How much bulk is asked for at once, over all layers of the node: about what its link brings in
/// while a request takes, for more would only queue on the link, before the faults and until
/// requests look late. Pure.
namespace swarmfs::fetch {

/// What is on its way: requests of all classes but faults, from the moment they were let go.
struct Inflow {
  uint64_t bytes = 0;
  uint64_t ours = 0;  ///< of these: of our own share, from the registry
  unsigned requests = 0;
  uint64_t shared = 0;  ///< of all: from the registry, for others as well
  uint64_t waits = 0;   ///< of the rest: for somebody to bring in his share
};

/// A request that waits to be let go.
struct WaitingRequest {
  chunk::Class cls = chunk::Class::pull;
  bool ours = false;      ///< of our own share, or of nobody's
  bool awaited = false;   ///< by somebody who reads
  uint64_t of_layer = 0;  ///< bytes of its layer that are on their way
  bool shared = false;    ///< ours, and for others as well
  bool waits = false;     ///< others', and nobody has it yet
};

/// Bytes that may be on their way.
struct InflowLimit {
  uint64_t bytes = 0;
  uint64_t backfill = 0;  ///< of these: from others, before they get one more of backfill
  /// Of our own share where others want it as well, however much else is on its way: nodes whose
  /// links wait for each other's shares would else wait for ever.
  uint64_t shared = 0;
  uint64_t waits = 0;  ///< of `bytes`, of what nobody has: what waits brings nothing
};

/// Where at most `rate` bytes per second come (0: not known yet). `faults_near`: a fault may come
/// any moment, and what backfill has asked of peers by then comes before it: until one is told to
/// pause it has sent all.
InflowLimit inflow_limit(double rate, bool faults_near);

/// Which of `waiting` (in the order in which they came) is let go next; empty: none yet. The
/// earlier class first. Our share and what others bring take half of the limit each, unless one
/// leaves room: what is ours is what others will ask for, and while the registry is slow the link
/// is not idle. Then what somebody waits for, then the layer of which least is on its way.
std::optional<size_t> next_in(std::span<const WaitingRequest> waiting, const Inflow& inflow,
                              InflowLimit limit);

}  // namespace swarmfs::fetch
