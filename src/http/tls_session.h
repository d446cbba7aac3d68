// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "http/tls_material.h"
#include "util/units.h"

struct ssl_ctx_st;
struct ssl_st;

namespace swarmfs::http {

/// A TLS 1.3 server that demands a certificate of its CAs from every client: no tickets, no early
/// data, so that each connection is checked anew. Immutable; any thread.
class TlsContext {
 public:
  /// Throws util::Error where the material makes no server: malformed, a key of another
  /// certificate, no CA.
  explicit TlsContext(const TlsMaterial& material);

 private:
  friend class TlsSession;
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
};

/// The server's side of one TLS connection on a non-blocking socket, which it borrows. It reads and
/// writes the socket itself, without buffers between; one thread at a time.
class TlsSession {
 public:
  enum class Step {
    done,
    wants_read,   ///< again when the socket can be read
    wants_write,  ///< again when it can be written, with the same bytes
    ended,        ///< the other side is through, or TLS failed: nothing more can be had
  };
  struct Moved {
    Step step = Step::ended;
    size_t bytes = 0;
  };

  TlsSession(const TlsContext& context, int socket);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  Step shake_hands();
  Moved read(std::span<std::byte> into);
  /// One record. `more`: another follows at once, so the kernel may wait to fill its segment.
  Moved write(util::ByteView from, bool more);
  /// Says that nothing more will come, as far as the socket takes it.
  void say_goodbye();

  /// After the handshake: the CN of the client's certificate, and when the first of its chain
  /// expires.
  [[nodiscard]] std::string peer() const;
  [[nodiscard]] std::chrono::system_clock::time_point peer_expires() const;
  /// What the last Step::ended was about.
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  /// What our BIO sees of us.
  struct Channel {
    int socket = -1;
    bool more = false;
  };
  Step judge(int result);

  Channel channel_;
  ssl_st* session_;
  std::string why_;
};

}  // namespace swarmfs::http
