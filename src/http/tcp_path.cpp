// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/tcp_path.h"

// Not <netinet/tcp.h>, which knows no tcpi_min_rtt; both in one file are too many.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace swarmfs::http {

std::optional<BulkWindow::Path> path_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  if (info.tcpi_rtt == 0 || info.tcpi_min_rtt == 0) return {};
  return BulkWindow::Path{std::chrono::microseconds(info.tcpi_rtt),
                          std::chrono::microseconds(info.tcpi_min_rtt), info.tcpi_snd_mss};
}

}  // namespace swarmfs::http
