// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <sys/socket.h>

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/heard_request.h"
#include "support/loopback.h"
#include "util/sync.h"

namespace swarmfs::support {

/// An HTTP server on a port of loopback that answers as a test says, one request per connection,
/// and shows every header of both sides.
class ScriptedServer {
 public:
  using Asked = HeardRequest;
  struct Answer {
    int status = 200;
    std::string body;
    std::map<std::string, std::string> headers;
  };
  using Script = std::function<Answer(const Asked&)>;

  explicit ScriptedServer(Script script)
      : script_(std::move(script)), thread_([this] { serve(); }) {}
  ~ScriptedServer() {
    listener_.shut_down();
    thread_.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] std::vector<Asked> asked() const { return *asked_.lock(); }

 private:
  void serve() {
    for (;;) {
      const util::UniqueFd line = listener_.accept();
      if (!line) return;
      Asked asked;
      char buffer[4096];
      while (!asked.is_whole()) {
        const ssize_t got = ::recv(line.get(), buffer, sizeof buffer, 0);
        if (got <= 0) break;
        asked.head.append(buffer, static_cast<size_t>(got));
      }
      asked.find_target();
      const Answer answer = script_(asked);
      asked_.lock()->push_back(std::move(asked));
      std::string text =
          "HTTP/1.1 " + std::to_string(answer.status) +
          " x\r\nConnection: close\r\nContent-Length: " + std::to_string(answer.body.size()) +
          "\r\n";
      for (const auto& [name, value] : answer.headers) text += name + ": " + value + "\r\n";
      text += "\r\n" + answer.body;
      if (::send(line.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) continue;
    }
  }

  const Script script_;
  util::Sync<std::vector<Asked>> asked_;
  const LoopbackListener listener_{16};
  const std::string host_ = "127.0.0.1:" + std::to_string(listener_.port());
  std::thread thread_;
};

}  // namespace swarmfs::support
