// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace swarmfs::http {

struct ServerRequest {
  std::string method;
  std::string path;  ///< percent-decoded, without the query
  std::map<std::string, std::string> query;
  std::string body;
};

struct ServerResponse {
  int status = 200;
  std::string content_type = "text/plain";
  std::string body;
};

struct ServerOptions {
  std::string unix_socket;  ///< either this
  unsigned mode = 0600;
  std::string tcp_address;  ///< or this: "127.0.0.1:9753"
  unsigned max_connections = 64;
  uint64_t max_body = 1 << 20;
  std::chrono::seconds read_timeout{10};
  std::chrono::seconds idle_timeout{60};
};

/// A small HTTP/1.1 server: one thread per connection, capped; the handler may block. Runs from
/// construction; the destructor closes all connections and returns when no handler runs.
class Server {
 public:
  using Handler = std::function<ServerResponse(const ServerRequest&)>;

  /// Throws util::Error when the address cannot be listened on, or is in use.
  Server(ServerOptions options, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::http
