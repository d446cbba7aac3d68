// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <condition_variable>
#include <csignal>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/certificates.h"
#include "support/heard_request.h"
#include "support/loopback.h"
#include "support/tls_identity.h"
#include "util/sync.h"

namespace swarmfs::support {

/// A member of a cluster that answers over TLS exactly what a test wants said, byte for byte, and
/// shows what it was asked. A thread per connection; the script runs on it.
class ScriptedPeer {
 public:
  using Asked = HeardRequest;
  /// What becomes of the connection after `text`.
  enum class Then {
    listen,    ///< for the next request
    hang_up,   ///< at once
    wait,      ///< says nothing until the client goes
    overflow,  ///< says "x" until the client goes
  };
  struct Answer {
    std::string text;
    Then then = Then::listen;
  };
  using Script = std::function<Answer(const Asked&)>;

  /// An answer that is as it should be.
  static Answer answer(int status, const std::string& body, const std::string& headers = "") {
    return {"HTTP/1.1 " + std::to_string(status) + " x\r\n" + headers +
            "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body};
  }

  ScriptedPeer(const Authority& ca, const std::string& name, Script script)
      : ScriptedPeer(ca.issue(name), ca.pem(), std::move(script)) {}
  ScriptedPeer(const Certificate& certificate, const std::string& trusted, Script script)
      : script_(std::move(script)), context_(SSL_CTX_new(TLS_server_method())) {
    std::signal(SIGPIPE, SIG_IGN);
    use(context_, certificate);
    trust(trusted);
    thread_ = std::thread([this] { accept(); });
  }
  ~ScriptedPeer() {
    listener_.shut_down();
    thread_.join();
    {
      auto seen = seen_.lock();
      for (const int line : seen->lines) ::shutdown(line, SHUT_RDWR);
    }
    for (auto& one : connections_) one.join();
    SSL_CTX_free(context_);
  }
  ScriptedPeer(const ScriptedPeer&) = delete;
  ScriptedPeer& operator=(const ScriptedPeer&) = delete;

  [[nodiscard]] uint16_t port() const { return listener_.port(); }
  [[nodiscard]] std::vector<Asked> asked() const { return seen_.lock()->asked; }
  /// That many requests came. False: not within 10 s.
  [[nodiscard]] bool wait_for_requests(size_t count) {
    return wait([count](const Seen& seen) { return seen.asked.size() >= count; });
  }
  /// That many clients went away during an answer. False: not within 10 s.
  [[nodiscard]] bool wait_for_departures(size_t count) {
    return wait([count](const Seen& seen) { return seen.departures >= count; });
  }

 private:
  struct Seen {
    std::vector<Asked> asked;
    std::vector<int> lines;  ///< that are open
    size_t departures = 0;
  };

  template <class Ready>
  bool wait(Ready ready) {
    auto seen = seen_.lock();
    return seen.wait_until(changed_, std::chrono::steady_clock::now() + std::chrono::seconds(10),
                           [&] { return ready(*seen); });
  }
  void trust(const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), -1);
    X509* ca = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), ca);
    X509_free(ca);
    BIO_free(bio);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  void accept() {
    for (;;) {
      util::UniqueFd line = listener_.accept();
      if (!line) return;
      const int yes = 1;
      ::setsockopt(line.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      seen_.lock()->lines.push_back(line.get());
      connections_.emplace_back([this, line = std::move(line)] { talk(line.get()); });
    }
  }
  void talk(int line) {
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, line);
    ERR_clear_error();
    if (SSL_accept(ssl) == 1)
      while (answer_one(ssl)) {
      }
    else
      let_go(line);
    std::erase(seen_.lock()->lines, line);
    SSL_free(ssl);
    ::shutdown(line, SHUT_RDWR);
  }
  /// A socket closed over unread bytes would take back the alert.
  static void let_go(int line) {
    ::shutdown(line, SHUT_WR);
    char waste[4096];
    while (::recv(line, waste, sizeof waste, 0) > 0) {
    }
  }
  bool answer_one(SSL* ssl) {
    Asked asked;
    char bytes[4096];
    while (!asked.is_whole()) {
      const int got = SSL_read(ssl, bytes, sizeof bytes);
      if (got <= 0) return false;
      asked.head.append(bytes, static_cast<size_t>(got));
    }
    asked.find_target();
    seen_.lock()->asked.push_back(asked);
    changed_.notify_all();
    const Answer said = script_(asked);
    if (!said.text.empty() && !write(ssl, said.text)) return depart();
    if (said.then == Then::listen) return true;
    const std::string more(16 * 1024, 'x');
    while (said.then == Then::overflow && write(ssl, more)) {
    }
    while (said.then == Then::wait && SSL_read(ssl, bytes, sizeof bytes) > 0) {
    }
    return said.then == Then::hang_up ? false : depart();
  }
  static bool write(SSL* ssl, const std::string& text) {
    return SSL_write(ssl, text.data(), static_cast<int>(text.size())) > 0;
  }
  bool depart() {
    ++seen_.lock()->departures;
    changed_.notify_all();
    return false;
  }

  const Script script_;
  SSL_CTX* const context_;
  const LoopbackListener listener_{64};
  util::Sync<Seen> seen_;
  std::condition_variable changed_;
  std::vector<std::thread> connections_;  ///< of thread_ alone, while it runs
  std::thread thread_;
};

}  // namespace swarmfs::support
