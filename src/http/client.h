// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "http/headers.h"
#include "http/tls_material.h"
#include "util/outcome.h"
#include "util/units.h"

namespace swarmfs::http {

struct Tls {
  std::string ca_file;  ///< besides the system's
  std::string cert_file;
  std::string key_file;
  /// Set: the other side is a node of our cluster, and this replaces the files and the system's
  /// CAs. TLS 1.3, never by a proxy; its certificate counts, whatever host name it was reached by.
  /// Connections are shared only among requests with equal material.
  std::shared_ptr<const TlsMaterial> cluster;
};

struct Request {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;
  /// A 206 that begins elsewhere, or ends before what it announces, is Fault::unavailable. What
  /// goes beyond the range is never delivered, and ends the exchange with Fault::invalid.
  std::optional<util::ByteRange> range;
  Tls tls;
  std::string unix_socket;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds stall_timeout{15'000};  ///< without a byte, while not paused
  std::chrono::milliseconds total_timeout{0};       ///< 0: none
  uint64_t max_body = 8 << 20;                      ///< of a body that is collected
  bool bulk = false;  ///< small receive buffer, so that a pause takes hold at once
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;              ///< empty where it was streamed
  std::string remote_address{};  ///< "10.0.0.3:7946", "[fd00::3]:7946"; empty on a unix socket
  std::string peer{};            ///< with Tls::cluster: the CN of the server's certificate
  /// By name, whatever its case; the first one.
  [[nodiscard]] std::optional<std::string> header(std::string_view name) const {
    return find_header(headers, name);
  }
};

struct Handlers {
  /// After the header; false ends the exchange (Fault::cancelled).
  std::function<bool(const Response&)> on_headers;
  /// Set: the body of a 2xx answer is streamed here, in order.
  std::function<void(util::ByteView)> on_data;
  /// Exactly once, last, unless the exchange was destroyed.
  std::function<void(util::Outcome<Response>)> on_done;
};

/// One request in flight. After its destructor no handler runs; it may die inside its own handler.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void pause() = 0;
  virtual void resume() = 0;
};

/// HTTP(S) requests on curl's multi interface, one loop thread, which runs all handlers.
/// Redirects are not followed. An answer of any status is a Response; only what prevented one is a
/// Failure (unavailable, timed_out, invalid; denied where one side rejects the other's
/// certificate). Any thread may call.
class Client {
 public:
  explicit Client(unsigned max_connections_per_host = 16);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] std::unique_ptr<Exchange> start(Request request, Handlers handlers);
  /// Blocks until the answer is whole. Not on the loop thread.
  util::Outcome<Response> perform(Request request);

 private:
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace swarmfs::http
