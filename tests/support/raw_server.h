// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <sys/socket.h>

#include <string>
#include <thread>

#include "support/loopback.h"

namespace swarmfs::support {

/// Plain TCP: says the same to every request, whatever it was, and closes the connection.
class RawServer {
 public:
  /// `endless`: and then "x" until the client goes.
  explicit RawServer(std::string answer, bool endless = false)
      : answer_(std::move(answer)), endless_(endless) {
    thread_ = std::thread([this] { run(); });
  }
  ~RawServer() {
    listener_.shut_down();
    thread_.join();
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(listener_.port()) + "/";
  }

 private:
  void run() {
    for (;;) {
      const util::UniqueFd client = listener_.accept();
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
  const LoopbackListener listener_{16};
  std::thread thread_;
};

}  // namespace swarmfs::support
