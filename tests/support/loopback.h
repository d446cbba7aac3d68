// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "util/error.h"
#include "util/unique_fd.h"

namespace swarmfs::support {

/// A socket that listens on a port of loopback that the kernel chose.
class LoopbackListener {
 public:
  explicit LoopbackListener(int backlog)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), length) ||
        ::listen(socket_.get(), backlog) ||
        ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length))
      throw util::SysError("listen on loopback");
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] uint16_t port() const { return port_; }
  /// Empty: shut_down() was called.
  [[nodiscard]] util::UniqueFd accept() const {
    return util::UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  void shut_down() const { ::shutdown(socket_.get(), SHUT_RDWR); }

 private:
  util::UniqueFd socket_;
  uint16_t port_ = 0;
};

}  // namespace swarmfs::support
