// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/host_port.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace swarmfs::daemon {

namespace {

bool is_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 &&
         std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

std::optional<in6_addr> ipv6(const std::string& host) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace

std::string HostPort::to_string() const {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<HostPort> parse_host_port(std::string_view text, uint16_t default_port) {
  HostPort made{"", default_port};
  std::string_view rest;
  if (text.starts_with('[')) {
    const size_t close = std::min(text.find(']'), text.size());
    made.host = text.substr(1, close - 1);
    rest = text.substr(std::min(close + 1, text.size()));
    if (ip_version(made.host) != 6 || close == text.size()) return std::nullopt;
  } else {
    made.host = text.substr(0, text.find(':'));
    rest = text.substr(made.host.size());
    if (!is_name(made.host)) return std::nullopt;
  }
  if (rest.empty()) return made;
  const auto port = rest.starts_with(':') ? parse_port(rest.substr(1)) : std::nullopt;
  if (!port) return std::nullopt;
  made.port = *port;
  return made;
}

int ip_version(const std::string& host) {
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1) return 4;
  return ipv6(host) ? 6 : 0;
}

bool is_unspecified_ip(const std::string& host) {
  if (host == "0.0.0.0") return true;
  const auto address = ipv6(host);
  return address && IN6_IS_ADDR_UNSPECIFIED(&*address);
}

bool is_loopback_ip(const std::string& host) {
  if (ip_version(host) == 4) return host.starts_with("127.");
  const auto address = ipv6(host);
  return address && IN6_IS_ADDR_LOOPBACK(&*address);
}

}  // namespace swarmfs::daemon
