// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/handed_sockets.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <filesystem>

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

/// One address has one text: "[0:0::1]:80" is "[::1]:80", "/var/run//s" is "/run/s".
std::string canonical_address(const std::string& text) {
  if (text.starts_with('/')) {
    auto path = std::filesystem::path(text).lexically_normal().string();
    return path.starts_with("/var/run/") ? path.substr(4) : path;
  }
  const auto place = parse_host_port(text, 0);
  if (!place) return text;
  in6_addr raw{};
  const int family = place->host.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (::inet_pton(family, place->host.c_str(), &raw) != 1) return text;
  return ip_and_port(family, &raw, htons(place->port));
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
  sockets_.push_back({canonical_address(address_of(socket.get())), std::move(socket)});
}

util::UniqueFd HandedSockets::take(const std::string& address) {
  if (address.empty()) return {};
  const auto found = std::find_if(
      sockets_.begin(), sockets_.end(),
      [wanted = canonical_address(address)](const Socket& one) { return one.address == wanted; });
  if (found == sockets_.end()) return {};
  util::UniqueFd taken = std::move(found->fd);
  sockets_.erase(found);
  util::log::info("{} listened before this daemon was there", address);
  return taken;
}

std::string HandedSockets::rest() const {
  std::string made;
  for (const auto& socket : sockets_) made += (made.empty() ? "" : ", ") + socket.address;
  return made;
}

void HandedSockets::refuse_rest() {
  for (const auto& socket : sockets_) {
    // The service manager has a copy, which would keep clients in its queue for good.
    ::shutdown(socket.fd.get(), SHUT_RDWR);
    util::log::warning(
        "the service manager listens on {}, which the configuration does not name: it refuses "
        "clients from now on; correct ListenStream of swarmfs.socket or the configuration, then "
        "systemctl stop swarmfs.socket swarmfs, and start both",
        socket.address);
  }
  sockets_.clear();
}

}  // namespace swarmfs::daemon
