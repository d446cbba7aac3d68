// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "crowd.h"
#include "crowd_views.h"
#include "fetch/bulk_order.h"
#include "fetch/inflow.h"
#include "fetch/request_times.h"
#include "fetch/share_pace.h"
#include "swarm/busy_lines.h"
#include "swarm/latency.h"
#include "util/link_gauge.h"
#include "wires.h"

namespace swarmfs::swarm {

inline constexpr uint64_t kCrowdChunk = 1 << 20;
inline constexpr util::Duration kLook = std::chrono::milliseconds(500);  ///< at what comes

struct Node;

/// What the nodes of a crowd share.
struct CrowdWorld {
  explicit CrowdWorld(const CrowdOptions& o)
      : options(o), registry(wires.add_wire(o.registry_rate)), random(o.seed), sources(o.chunks) {}

  const CrowdOptions options;
  const util::Digest layer = util::Sha256::of(util::as_bytes("layer"));
  std::vector<std::unique_ptr<Node>> nodes;  ///< outlive what is due
  Wires wires;
  const Wires::Wire registry;
  std::mt19937_64 random;
  double registry_bytes = 0;
  double given[2] = {};  ///< by peers: of the same zone, of another
  std::vector<CrowdSecond> seconds;
  std::vector<uint16_t> sources;  ///< by chunk: nodes that have it or bring it from the registry
  CrowdSecond& second() {
    const auto at = static_cast<size_t>(
        std::chrono::duration_cast<std::chrono::seconds>(wires.now().time_since_epoch()).count());
    if (seconds.size() <= at) seconds.resize(at + 1);
    return seconds[at];
  }
  size_t running = 0;        ///< nodes that are there and have not all of it
  unsigned at_registry = 0;  ///< nodes that ask it
};

/// One request to one peer.
struct Try {
  uint32_t peer = 0;
  bool has_it = false;
  bool open = true;
  std::optional<Wires::Flow> flow{};
  util::SteadyTime began{}, moved{};
  util::Duration expected{};
  double told = 0;               ///< bytes that came, as of the last look
  std::shared_ptr<void> slot{};  ///< at the server, while it is busy with us
};
using TryPtr = std::shared_ptr<Try>;

/// One chunk that comes from the registry.
struct Transfer {
  Wires::Flow flow{};
  util::SteadyTime began{};
  double told = 0;  ///< as Try's
};

/// One chunk that a node wants: a flight of its bulk, and all who were asked for it.
struct Ask {
  uint32_t chunk = 0;
  bool spare = false;  ///< FetchContext::spare
  bool ours = false;
  bool theirs = false;                          ///< chunk::Plan::theirs
  bool counts_as_ours = false;                  ///< it was when it was made
  bool shared = false;                          ///< ours, from the registry: see fetch::SharePace
  bool waits = false;                           ///< nobody had it when it was asked for
  bool admitted = false;                        ///< counts in the inflow
  bool relayed = false;                         ///< let go for a peer's sake: not to peers
  std::vector<std::function<void()>> relays{};  ///< who wait for it to be let go
  bool done = false;
  util::SteadyTime progress{};
  std::vector<std::pair<uint32_t, Step>> steps{};  ///< and the node, where it is no registry
  size_t next = 0;
  unsigned busy = 0, referred = 0;
  unsigned wait = 0;  ///< the last that began; one more when it has ended
  util::Operation in_line{};
  std::vector<TryPtr> tries{};
  Patience patience{};
  [[nodiscard]] bool has_next_peer() const {
    return next < steps.size() && steps[next].second.peer.has_value();
  }
};
using AskPtr = std::shared_ptr<Ask>;

/// A node: what fetch's brain does with one layer, the two halves of the demand lane, the news.
struct Node {
  Node(CrowdWorld& its_world, uint32_t its_index);
  void join();
  /// As one that has all of it.
  void join_as_seed();
  /// Without a word: what it was sending stands still, until others find out.
  void vanish();

  // Bulk, as fetch does it (crowd_bulk.cpp).
  void pump();
  [[nodiscard]] bool lacks(uint32_t chunk) const;
  std::optional<uint32_t> next_run(uint64_t& cursor) const;
  AskPtr next_ours(uint64_t& at);
  AskPtr next_from_the_back();
  AskPtr next_to_stand_in();
  AskPtr next_of_others();
  [[nodiscard]] bool leaves_to_others();
  void watch_news();
  void enqueue(const AskPtr& ask);
  void admit();
  void let_in(const AskPtr& ask);
  /// For a peer's sake.
  void relay(uint32_t chunk, std::function<void()> then);
  [[nodiscard]] bool may_relay() const;
  [[nodiscard]] bool is_paced() const { return fetch::SharePace::holds_among(views.wanting()); }
  void give_inflow(Ask& ask);
  void watch_queue();
  void got(const AskPtr& ask);
  void have(uint32_t chunk);

  // The registry (crowd_bulk.cpp).
  void from_registry(uint32_t chunk, CrowdWhy why, std::function<void()> then);
  void ask_registry();
  void transfer(uint32_t chunk);
  void watch_transfer(uint32_t chunk);
  void transferred(uint32_t chunk);

  // Peers (crowd_node.cpp).
  void begin();
  void tell();
  [[nodiscard]] double news_bytes(bool named) const;
  void plan(Ask& ask);
  void next_step(const AskPtr& ask, CrowdWhy why);
  void ask_peer(const AskPtr& ask, uint32_t peer, util::Duration hedge);
  void set_hedge(const AskPtr& ask, const TryPtr& one, size_t following, util::Duration hedge);
  void watch_hedge(const AskPtr& ask);
  void request(const AskPtr& ask, const TryPtr& one);
  /// Nothing more is heard of who was asked: found out after so long.
  void lose(const AskPtr& ask, const TryPtr& one, util::Duration after);
  void sent_away(const AskPtr& ask, const TryPtr& one, const std::vector<uint32_t>& others);
  void end_wait(const AskPtr& ask, unsigned wait);
  void receive(const AskPtr& ask, const TryPtr& one);
  void check_lag(const AskPtr& ask, const TryPtr& one);
  /// So many bytes of it have come.
  void came(double& before, double bytes);
  void sent_one_to(uint32_t peer);
  void end(const TryPtr& one);
  /// As the demand server does. Empty: it sends the asker away; else for as long as it is busy.
  std::shared_ptr<void> serve(uint32_t asker, uint32_t chunk, bool fetch,
                              std::function<void()> ready);
  /// To it; empty: to anybody.
  [[nodiscard]] bool may_send_more(std::optional<uint32_t> peer = {}) const;
  [[nodiscard]] util::Duration way_to(uint32_t peer) const;
  [[nodiscard]] bool congested() const { return gauge.full(world.wires.now()); }

  CrowdWorld& world;
  const uint32_t index;
  const Self self;
  const bool straggler;
  const Wires::Wire up, down;
  CrowdViews views;
  bool joined = false, gone = false, begun = false;
  util::SteadyTime started{};
  double took = 0;
  uint64_t news_turn;
  uint64_t answers = 0;  ///< news that it told
  double told = 0;       ///< likewise, bytes
  std::vector<bool> has;
  uint32_t missing;

  const double turn;  ///< see fetch::BulkOrder
  fetch::BulkOrder order{};
  uint64_t cursor = 0, share_cursor = 0, spare_cursor = 0;
  bool had_share = false;
  std::optional<util::SteadyTime> looks_from{};  ///< for what others should have brought in
  std::map<uint32_t, AskPtr> asks;               ///< by chunk
  size_t ours = 0;                               ///< of these
  size_t shared = 0;                             ///< likewise
  size_t waiting = 0;                            ///< likewise
  util::SteadyTime last_came{};                  ///< anything of these
  util::SteadyTime others_came{};  ///< likewise, but for what waited; at first when it began
  std::optional<util::SteadyTime> share_asked{};  ///< when all of our own share was asked for
  std::list<AskPtr> queue;                        ///< for room in the inflow
  fetch::Inflow inflow;
  fetch::SharePace pace;
  util::LinkGauge gauge, given;

  std::map<uint32_t, std::vector<std::function<void()>>> coming;  ///< from the registry, for whom
  std::map<uint32_t, Transfer> transfers;
  fetch::RequestTimes request_times;
  std::map<uint32_t, fetch::RequestTimes::Number> timed;  ///< by chunk
  std::deque<uint32_t> to_ask;  ///< the registry for, when a connection is free
  unsigned connections = 0;
  Latency registry_time;  ///< of what others asked us for
  bool at_registry = false;
  unsigned serving = 0;
  unsigned sending = 0;  ///< flows
  std::map<uint32_t, unsigned> sending_to;
  std::map<uint32_t, unsigned> serving_to;
  BusyLines<uint32_t> busy_lines;
};

}  // namespace swarmfs::swarm
