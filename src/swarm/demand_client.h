// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "http/client.h"
#include "swarm/holdings.h"
#include "swarm/peer_table.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// How this node asks: who it is, and with what.
struct Asker {
  std::string zone;
  uint16_t port = 0;                     ///< of our own demand lane
  std::function<std::string()> node_id;  ///< ours
  std::function<Access(const std::string& repository)> access;
};

/// The asking half of the demand lane: requests to peers over kept connections. Any thread;
/// callbacks run on the client's own loop thread.
class DemandClient {
 public:
  using Query = std::map<std::string, std::string>;

  DemandClient(Asker asker, PeerTable& table);

  /// For requests to come.
  void set_tls(http::TlsMaterial material);

  /// A GET of `path` with `query`, and who we are. Where `query` has a repository and the peer's
  /// node id is known, with the proof that we may pull from it.
  [[nodiscard]] http::Request request(const Endpoint& peer, const std::string& path,
                                      Query query) const;
  /// For bytes of a layer.
  [[nodiscard]] std::unique_ptr<http::Exchange> start(http::Request request,
                                                      http::Handlers handlers) {
    auto& http = request.bulk ? bulk_ : faults_;
    return http.start(std::move(request), std::move(handlers));
  }
  /// For all else.
  [[nodiscard]] std::unique_ptr<http::Exchange> ask(http::Request request,
                                                    http::Handlers handlers) {
    return questions_.start(std::move(request), std::move(handlers));
  }
  /// Blocks, for `patience` at most; asks again with a proof where the peer wants one. Not on a
  /// callback's thread. Any status but 200 is a Failure, and the peer table hears how it went;
  /// `hasty`: that it took longer is not held against the peer.
  util::Outcome<std::string> get(const Endpoint& peer, const std::string& path, const Query& query,
                                 std::chrono::milliseconds patience, uint64_t max_body = 64 << 20,
                                 bool hasty = false);
  /// As get(), but with the header of the answer.
  util::Outcome<http::Response> get_response(const Endpoint& peer, const std::string& path,
                                             const Query& query, std::chrono::milliseconds patience,
                                             uint64_t max_body = 64 << 20, bool hasty = false);
  /// Ends get() and get_response(), those under way and those to come: Fault::cancelled.
  void stop_waiting();
  /// Learns who answered. True: we did not know, so a request that was refused for want of a proof
  /// can be made again.
  bool met(const Endpoint& peer, const http::Response& response);

 private:
  util::Outcome<http::Response> await(http::Request request);

  const Asker asker_;
  PeerTable& table_;
  util::Sync<std::shared_ptr<const http::TlsMaterial>> tls_;
  util::Sync<bool> stopping_{false};
  std::condition_variable changed_;  ///< with stopping_: it, or an answer that await() awaits
  http::Client faults_{8};
  /// Questions in connections of their own: a fault that finds its connection, wide open by now,
  /// taken by one begins on a new one with a window of a few packets.
  http::Client questions_{8};
  /// Apart from faults, and as many connections as there may be requests: one that is paused keeps
  /// its connection, and who waits for another request must not queue behind it.
  http::Client bulk_{64};
};

}  // namespace swarmfs::swarm
