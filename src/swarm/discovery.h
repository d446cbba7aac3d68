// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "swarm/dht_key.h"
#include "swarm/endpoint.h"
#include "util/metrics.h"
#include "util/operation.h"
#include "util/timers.h"

namespace swarmfs::swarm {

/// The DHT of a node runs on UDP, on the port after that of its demand lane: whoever knows one
/// knows the other. (libtorrent also opens that TCP port and turns everybody away there.)
inline constexpr uint16_t kDhtPortOffset = 1;

struct DiscoveryOptions {
  /// Demand lanes of other nodes. A name stands for all its A and AAAA records.
  std::vector<Endpoint> peers;
  /// Our own demand lane, literal. Each address gets a DHT node; "0.0.0.0" and "::" stand for the
  /// addresses of all interfaces that are up, without loopback and link-local ones.
  std::vector<Endpoint> listen;
  bool dht = true;
  std::chrono::milliseconds resolve_every{30'000};
  /// Addresses of a name, empty when it cannot be told now. May block. Empty: getaddrinfo.
  std::function<std::vector<std::string>(const std::string& name)> resolve;
};

/// Who is there: a list of peers, DNS names, and a DHT among the nodes found so (never a public
/// one) that tells who has a layer. What it tells are candidates: anybody may announce anything,
/// the demand lane's certificates decide who is a peer. Runs from construction. Any thread.
class Discovery {
 public:
  /// All peers from the list and from DNS, ourselves left out, literal addresses only: first soon
  /// after construction, then after each resolution. Runs on the resolver's thread; short.
  using OnPeers = std::function<void(const std::vector<Endpoint>& peers)>;
  /// Demand lanes that announced the key: each is told once per look-up, ourselves left out, and at
  /// most a thousand of them. The
  /// last call, at the deadline, has `last` and nobody. Runs on a thread of Discovery's or of
  /// `timers`; short.
  using OnFound = std::function<void(const std::vector<Endpoint>& found, bool last)>;

  /// Throws util::Error when the DHT cannot listen on an address. `timers` and `metrics` must
  /// outlive it. No callback runs after the destructor has returned.
  Discovery(DiscoveryOptions options, OnPeers on_peers, util::Timers& timers,
            util::Metrics& metrics);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  /// What on_peers was told last.
  [[nodiscard]] std::vector<Endpoint> known() const;

  /// Tells the DHT that our demand lane, on TCP `port`, has or wants what the key stands for; said
  /// again every few minutes until withdrawn. Idempotent. Withdrawn announcements are forgotten by
  /// others within 25 minutes.
  void announce(const DhtKey& key, uint16_t port);
  void withdraw(const DhtKey& key);

  /// Asks the DHT until `timeout` has passed (answers in a LAN take a few milliseconds; that nobody
  /// has it is known only by silence). Without a DHT the last call comes at once.
  [[nodiscard]] util::Operation look_up(const DhtKey& key, std::chrono::milliseconds timeout,
                                        OnFound on_found);

  /// Nodes in the DHT's routing tables, as of a second or so ago; 0 without a DHT.
  [[nodiscard]] size_t dht_nodes() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::swarm
