// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

#include <string>
#include <thread>

#include "util/unique_fd.h"

namespace swarmfs::support {

/// Plain TCP: says the same to every request, whatever it was, and closes the connection.
class RawServer {
 public:
  /// `endless`: and then "x" until the client goes.
  explicit RawServer(std::string answer, bool endless = false)
      : answer_(std::move(answer)), endless_(endless) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::listen(listener_.get(), 16);
    socklen_t length = sizeof address;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~RawServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/";
  }

 private:
  void run() {
    for (;;) {
      const util::UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
      if (!client) return;
      std::string asked;
      char bytes[4096];
      while (asked.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = ::recv(client.get(), bytes, sizeof bytes, 0);
        if (got <= 0) break;
        asked.append(bytes, static_cast<size_t>(got));
      }
      ::send(client.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
      const std::string more(64 * 1024, 'x');
      while (endless_ && ::send(client.get(), more.data(), more.size(), MSG_NOSIGNAL) > 0) {
      }
    }
  }

  const std::string answer_;
  const bool endless_;
  util::UniqueFd listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace swarmfs::support
