// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/headers.h"
#include "util/unique_fd.h"
#include "util/units.h"

namespace swarmfs::http {

struct ServerRequest {
  std::string method;
  std::string path;  ///< percent-decoded, without the query
  std::map<std::string, std::string> query;
  std::string body;
  Headers headers{};
  std::string client{};  ///< "127.0.0.1:40312", "[::1]:40312"; empty on a unix socket
};

/// Where a streamed body goes.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  /// Blocks while the client takes it. False: the client is gone, or the server stops; no more.
  virtual bool write(util::ByteView bytes) = 0;
};

struct ServerResponse {
  int status = 200;
  std::string content_type = "text/plain";
  std::string body{};
  Headers headers{};
  /// Content-Length where it is not the body's: of `stream`, or of what a HEAD was not given.
  std::optional<uint64_t> length{};
  /// Gives a body of `length` bytes, on the connection's thread; not called for a HEAD. False, or
  /// fewer bytes: the client sees the connection end (FIN, never a reset) before the body does.
  std::function<bool(BodyWriter&)> stream{};
};

struct ServerOptions {
  std::string unix_socket;  ///< either this
  unsigned mode = 0600;
  std::string tcp_address;                   ///< or this: "127.0.0.1:9753"
  unsigned max_connections = 64;             ///< more wait to be accepted
  uint64_t max_header = 16 << 10;            ///< a longer one is answered 431
  uint64_t max_body = 1 << 20;               ///< of a request
  std::chrono::seconds read_timeout{10};     ///< of a header from its first byte on, then of a body
  std::chrono::seconds idle_timeout{60};     ///< between requests
  std::chrono::seconds write_timeout{10};    ///< of a body that is not streamed
  std::chrono::seconds stream_timeout{300};  ///< without progress of a client that takes a stream
};

/// A small HTTP/1.1 server: one thread per connection, capped; the handler may block. Runs from
/// construction; the destructor closes all connections and returns when no handler runs. What two
/// parsers could read in two ways (RFC 9112 sections 5.2, 6.3) is answered 400.
class Server {
 public:
  using Handler = std::function<ServerResponse(const ServerRequest&)>;

  /// Throws util::Error when the address cannot be listened on, or is in use. `listener`: listens
  /// there already. It is shared with others, who go on: what connects after the end waits for the
  /// next one that accepts.
  Server(ServerOptions options, Handler handler, util::UniqueFd listener = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Accepts no more from a listener that was handed to us: who connects from now on waits for the
  /// next one that does. Who is connected is served on. Nothing happens to a listener of our own.
  void hand_on();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::http
