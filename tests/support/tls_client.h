// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <chrono>
#include <optional>
#include <string>

#include "support/tls_identity.h"
#include "util/unique_fd.h"

namespace swarmfs::support {

/// A blocking TLS client that says exactly what a test wants said. No wait is longer than 10 s.
class TlsClient {
 public:
  struct Options {
    std::optional<Certificate> certificate;
    int max_version = TLS1_3_VERSION;
    int receive_buffer = 0;  ///< bytes; 0: the system's
  };

  TlsClient(uint16_t port, const Options& options) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_, options.max_version);
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
    if (options.certificate) use(context_, *options.certificate);
    ssl_ = SSL_new(context_);
    connect(port, options.receive_buffer);
    SSL_set_fd(ssl_, socket_.get());
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  /// True: this side is content. In TLS 1.3 the server may still refuse our certificate.
  bool shake_hands() {
    ERR_clear_error();
    return SSL_connect(ssl_) == 1;
  }
  bool say(const std::string& text) {
    ERR_clear_error();
    return SSL_write(ssl_, text.data(), static_cast<int>(text.size())) ==
           static_cast<int>(text.size());
  }
  /// What comes next; empty: the end, or none within 10 s.
  std::string hear() {
    std::string bytes(32 * 1024, '\0');
    ERR_clear_error();
    const int got = SSL_read(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    bytes.resize(static_cast<size_t>(std::max(got, 0)));
    return bytes;
  }
  /// Until the other side ends the connection.
  std::string hear_all() {
    std::string all;
    for (std::string next = hear(); !next.empty(); next = hear()) all += next;
    return all;
  }
  /// One answer with Content-Length.
  std::string hear_answer() {
    for (;;) {
      const size_t end = heard_.find("\r\n\r\n");
      const size_t at = heard_.find("Content-Length: ");
      if (end != std::string::npos && at < end) {
        const size_t whole = end + 4 + std::stoul(heard_.substr(at + 16));
        if (heard_.size() >= whole) {
          std::string answer = heard_.substr(0, whole);
          heard_.erase(0, whole);
          return answer;
        }
      }
      const std::string next = hear();
      if (next.empty()) return {};
      heard_ += next;
    }
  }
  /// Nothing more to say, but listening.
  void half_close() {
    SSL_shutdown(ssl_);
    ::shutdown(socket_.get(), SHUT_WR);
  }
  /// True once the other side has closed the TCP connection, whatever it said before.
  bool is_ended() {
    char waste[4096];
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), waste, sizeof waste, 0);
      if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
      if (got < 0) return false;
    }
  }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] std::string version() const { return SSL_get_version(ssl_); }

 private:
  void connect(uint16_t port, int receive_buffer) {
    socket_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{10, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int yes = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (receive_buffer > 0)
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      socket_.reset();
  }

  util::UniqueFd socket_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  std::string heard_;
};

}  // namespace swarmfs::support
