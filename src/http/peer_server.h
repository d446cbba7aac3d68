// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/headers.h"
#include "http/tls_material.h"
#include "util/shared_bytes.h"

namespace swarmfs::http {

struct PeerRequest {
  std::string method;
  std::string path;                          ///< percent-decoded, without the query
  std::map<std::string, std::string> query;  ///< percent-decoded
  Headers headers;                           ///< no name twice
  std::string remote_address;                ///< "10.0.0.3:41234", "[fd00::3]:41234"
  std::string peer;                          ///< the CN of the client's certificate

  [[nodiscard]] std::optional<std::string> header(std::string_view name) const {
    return find_header(headers, name);
  }
};

struct PeerResponse {
  int status = 200;
  Headers headers;  ///< besides Content-Length and Connection; no CR, no LF
  /// One after the other, written from where they are; kept until they are written.
  std::vector<util::SharedBytes> body;
  bool bulk = false;  ///< nobody waits for it: marked so, and little of it unsent in the kernel
  /// Of status 102: the client has left, or has waited for too long; on the server's thread. Once
  /// at most, and not after the answer.
  std::function<void()> on_gone{};
};

struct PeerServerOptions {
  /// "10.0.0.3:7946", "[fd00::3]:7946"; "[::]:7946" is IPv6 alone. Port 0: any that is free.
  std::vector<std::string> addresses;
  unsigned threads = 2;
  unsigned max_connections = 1024;  ///< beyond that the longest idle one goes, or the newcomer
  unsigned max_handshakes = 128;    ///< at once; beyond that the oldest of them goes
  size_t max_header = 16 * 1024;
  std::chrono::milliseconds handshake_timeout{5'000};  ///< for all of it
  std::chrono::milliseconds header_timeout{5'000};     ///< from its first byte to its last
  std::chrono::milliseconds answer_timeout{30'000};    ///< for the handler; then 503
  std::chrono::milliseconds long_timeout{120'000};     ///< likewise, once it said 102
  std::chrono::milliseconds sign_of_life{5'000};       ///< from 102 to 102, until it answers
  std::chrono::milliseconds write_timeout{15'000};     ///< for every 64 KiB of an answer
  std::chrono::milliseconds idle_timeout{150'000};     ///< more than clients keep a connection
  std::chrono::milliseconds grace{1'000};              ///< for answers under way at the end
};

/// The demand lane's server: HTTP/1.1 over TLS 1.3 between nodes of a cluster (design.md section
/// 6). A client without a certificate of our CAs gets a failed handshake and nothing else; there is
/// no plain TCP. Keep-alive, TCP_NODELAY, few threads, all of it asynchronous.
///
/// Requests carry no body (413), have a header of bounded size (431) and say nothing twice (400);
/// each of these ends the connection. HEAD is answered like GET, without the body. Request lines
/// that are malformed get 400 and do not reach the handler.
///
/// A connection ends when the client's certificate expires. Runs from construction; the destructor
/// takes no new requests, gives answers under way `grace`, and returns when no handler runs.
class PeerServer {
 public:
  /// Called exactly once, from any thread, at any time: also after the connection, the deadline or
  /// the server are gone, when it does nothing. Before that with status 102, where the answer will
  /// take long: the client is told again and again that it is still to come (RFC 2518 section
  /// 10.1), and need not wait as long for one who has died or hangs.
  using Respond = std::function<void(PeerResponse)>;
  /// On a thread of the server: must not block, or other connections wait. Throwing is a 500.
  using Handler = std::function<void(const PeerRequest&, Respond)>;

  struct Counts {
    uint64_t accepted = 0;           ///< connections, since the start
    uint64_t failed_handshakes = 0;  ///< of these; also those that took too long
    uint64_t open = 0;               ///< now, handshakes included
  };

  /// Throws util::Error when an address cannot be listened on, or the material cannot be used.
  PeerServer(PeerServerOptions options, const TlsMaterial& material, Handler handler);
  ~PeerServer();
  PeerServer(const PeerServer&) = delete;
  PeerServer& operator=(const PeerServer&) = delete;

  /// For connections to come. Where other CAs are trusted from now on, the connections there are
  /// end after the answer they are at. Throws util::Error, and goes on with what it has, when the
  /// material cannot be used. Any thread.
  void set_tls(const TlsMaterial& material);
  /// Where the first address is listened on.
  [[nodiscard]] uint16_t port() const;
  [[nodiscard]] Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::http
