// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <vector>

#include "util/clock.h"

namespace swarmfs::swarm {

/// A crowd that pulls the same layer over the demand lane, on a virtual clock. Who is asked for
/// news, who owns shares, in what order and how much at once a node wants, whom it asks for a chunk
/// and how it answers are the product's own functions (shareholders.h, policy.h, bulk_order.h,
/// inflow.h, link_gauge.h, budget.h); a node knows only what a node could know. Chunks flow as
/// fluid over links (wires.h), and whoever is asked has a chunk to give once all of it came.
struct CrowdOptions {
  size_t nodes = 1000;
  size_t zones = 2;
  uint32_t chunks = 1000;                 ///< of 1 MiB; 0: news alone, for `lasts`
  std::chrono::milliseconds joins{1000};  ///< all of them within
  size_t seeds = 0;                       ///< nodes besides, that have all of it before others join
  size_t known_at_first = 64;             ///< other nodes, as the DHT tells
  double losses_per_minute = 0;           ///< part of the nodes; a fresh one joins for each
  double stragglers = 0;                  ///< part of the nodes whose link is 20 times narrower
  double registry_rate = 125e6;           ///< bytes per second, for all
  double node_rate = 125e6;               ///< in each direction
  util::Duration registry_delay = std::chrono::milliseconds(30);
  util::Duration hop = std::chrono::microseconds(250);
  util::Duration zone_hop = std::chrono::milliseconds(2);
  std::chrono::seconds lasts{600};  ///< at most, of virtual time
  bool trace = false;               ///< count what happens in each second
  uint64_t seed = 1;
};

/// Why a node asked the registry for a chunk.
enum class CrowdWhy : uint8_t { share, relay, busy, late, lagging, gone };
inline constexpr size_t kCrowdWhys = 6;
inline constexpr const char* kCrowdWhyNames[kCrowdWhys] = {"share", "relay",   "busy",
                                                           "late",  "lagging", "gone"};

/// What happened in one second.
struct CrowdSecond {
  uint64_t asked[kCrowdWhys] = {};  ///< of the registry
  uint64_t again[kCrowdWhys] = {};  ///< of these: for a chunk that somebody has or brings
  uint64_t from_registry = 0;       ///< chunks that came
  uint64_t from_peers = 0;
  uint64_t requests = 0;                        ///< to peers
  uint64_t referred = 0, busy = 0, nobody = 0;  ///< answers; `nobody`: the peer was gone
  uint64_t dropped = 0;  ///< requests that came too late: somebody else gave it
  /// Chunks wanted at its end: that come; that a peer waits for; from the registry; paused.
  uint64_t coming = 0, relayed = 0, own = 0, paused = 0;
  double wasted = 0;          ///< chunks' worth of what was sent for nothing
  double here = 0, mean = 0;  ///< chunks that somebody has; that a node has
  uint64_t under_way = 0, sending = 0, finished = 0;  ///< at its end
};

struct CrowdResult {
  double copies = 0;           ///< of the layer, from the registry
  double optimum = 0;          ///< seconds: the layer over the narrower of both links
  double slow_optimum = 0;     ///< a straggler's
  std::vector<double> took{};  ///< seconds from joining to having all, sorted; stragglers left out
  std::vector<double> stragglers_took{};  ///< likewise
  size_t unfinished = 0;                  ///< nodes that are there and have not all of it
  double other_zone = 0;                  ///< part of what peers gave
  double news_per_second = 0;             ///< that a node answers, on average
  double busiest_per_second = 0;          ///< and at most
  double news_rate = 0;                   ///< of the busiest, bytes per second; not on its wires
  /// At the end, mean and least of what part of the true shareholders a node takes for such.
  double agreement = 0, least_agreement = 0;
  /// News alone: seconds until nine of ten nodes took at least 62 of the 64 true shareholders for
  /// such; less than 0: never.
  double agrees_after = -1;
  std::vector<CrowdSecond> seconds{};  ///< where it is traced
  /// Seconds that `part` of the nodes stayed below; 0: nobody has it all.
  [[nodiscard]] double at(double part) const;
};

CrowdResult run_crowd(const CrowdOptions& options);

}  // namespace swarmfs::swarm
