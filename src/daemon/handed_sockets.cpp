// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/handed_sockets.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <algorithm>

#include "daemon/host_port.h"
#include "util/log.h"

namespace swarmfs::daemon {

namespace {

std::string ip_and_port(int family, const void* address, uint16_t port) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family, address, text, sizeof text);
  return HostPort{text, ntohs(port)}.to_string();
}

/// Empty: neither of a path nor of an IP address.
std::string address_of(int socket) {
  sockaddr_storage raw{};
  socklen_t size = sizeof raw;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&raw), &size)) return "";
  if (raw.ss_family == AF_UNIX) return reinterpret_cast<const sockaddr_un*>(&raw)->sun_path;
  if (raw.ss_family == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(&raw);
    return ip_and_port(AF_INET, &ip->sin_addr, ip->sin_port);
  }
  if (raw.ss_family != AF_INET6) return "";
  const auto* ip = reinterpret_cast<const sockaddr_in6*>(&raw);
  return ip_and_port(AF_INET6, &ip->sin6_addr, ip->sin6_port);
}

}  // namespace

HandedSockets HandedSockets::from_environment() {
  HandedSockets made;
  const int count = sd_listen_fds(/*unset_environment=*/1);
  for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd)
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, /*listening=*/1) > 0) made.add(util::UniqueFd(fd));
  return made;
}

void HandedSockets::add(util::UniqueFd socket) {
  sockets_.push_back({address_of(socket.get()), std::move(socket)});
}

util::UniqueFd HandedSockets::take(const std::string& address) {
  const auto found = std::find_if(sockets_.begin(), sockets_.end(),
                                  [&](const Socket& one) { return one.address == address; });
  if (found == sockets_.end()) return {};
  util::UniqueFd taken = std::move(found->fd);
  sockets_.erase(found);
  util::log::info("{} listened before this daemon was there", address);
  return taken;
}

void HandedSockets::close_rest() {
  for (const auto& socket : sockets_)
    util::log::warning(
        "the service manager listens on {}, which the configuration does not name: correct "
        "ListenStream of swarmfs.socket or the configuration",
        socket.address);
  sockets_.clear();
}

}  // namespace swarmfs::daemon
