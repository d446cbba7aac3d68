// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "util/error.h"
#include "util/sync.h"
#include "util/unique_fd.h"

namespace swarmfs::support {

/// An HTTP server on a port of loopback that answers as a test says, one request per connection,
/// and shows every header of both sides.
class ScriptedServer {
 public:
  struct Asked {
    std::string target;  ///< "/v2/a/manifests/v1"
    std::string head;    ///< all of the header, as it came

    /// Empty: not there.
    [[nodiscard]] std::string header(const std::string& name) const {
      const size_t at = head.find("\r\n" + name + ": ");
      if (at == std::string::npos) return "";
      const size_t from = at + name.size() + 4;
      return head.substr(from, head.find("\r\n", from) - from);
    }
  };
  struct Answer {
    int status = 200;
    std::string body;
    std::map<std::string, std::string> headers;
  };
  using Script = std::function<Answer(const Asked&)>;

  explicit ScriptedServer(Script script)
      : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) ||
        ::listen(listener_.get(), 16) ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length))
      throw util::SysError("listen on loopback");
    host_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] std::vector<Asked> asked() const { return *asked_.lock(); }

 private:
  void serve() {
    for (;;) {
      const util::UniqueFd line(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!line) return;
      Asked asked;
      char buffer[4096];
      while (asked.head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = ::recv(line.get(), buffer, sizeof buffer, 0);
        if (got <= 0) break;
        asked.head.append(buffer, static_cast<size_t>(got));
      }
      const size_t from = asked.head.find(' ') + 1;
      asked.target = asked.head.substr(from, asked.head.find(' ', from) - from);
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
  util::UniqueFd listener_;
  std::string host_;
  std::thread thread_;
};

}  // namespace swarmfs::support
