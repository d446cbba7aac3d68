// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "swarm/dht_key.h"
#include "swarm/endpoint.h"

namespace swarmfs::swarm {

/// One node's part in a private DHT (libtorrent's Kademlia, BEP 5). It talks to the nodes it is
/// told of and those they know, and to nobody else: no public routers, no multicast, no port
/// mapping, no stored items (BEP 44), no listing of keys (BEP 51). libtorrent insists on listening
/// on the TCP port of the same number as well; whoever connects there is turned away. Any thread.
class Dht {
 public:
  /// Answers to ask(), as they come, never empty; also those that this node keeps itself. Runs on
  /// the Dht's own thread; must be short and must not destroy the Dht.
  using OnFound = std::function<void(const DhtKey& key, const std::vector<Endpoint>& peers)>;

  /// `listen`: literal addresses of this host, UDP. Wildcards are no good: libtorrent starts no DHT
  /// on the loopback and private networks that they stand for. Throws util::Error when one of them
  /// cannot be listened on.
  Dht(const std::vector<Endpoint>& listen, OnFound on_found);
  /// Blocks until libtorrent has stopped (milliseconds).
  ~Dht();
  Dht(const Dht&) = delete;
  Dht& operator=(const Dht&) = delete;

  /// Other nodes' UDP endpoints, literal. Those that answer are taken in, and asked whom they know.
  void meet(const std::vector<Endpoint>& nodes);
  /// Tells those that keep the key, once, that this host serves it on TCP `port`.
  void announce(const DhtKey& key, uint16_t port);
  /// Asks once. Silence means that nobody has it.
  void ask(const DhtKey& key);
  /// Nodes in the routing tables when last counted; each call asks for the next count.
  [[nodiscard]] size_t nodes();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::swarm
