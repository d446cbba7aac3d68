// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace swarmfs::daemon {

/// Where a service is: a name or an address (IPv6 without brackets), and a port from 1.
struct HostPort {
  std::string host;
  uint16_t port = 0;

  /// "node-3:7946", "10.0.0.3:7946", "[::1]:7946"
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const HostPort&) const = default;
};

/// Reads what to_string() writes; without a port it is `default_port`. Empty result: neither a
/// host name (letters, digits, '-', '_', '.') nor an address, or a bad port. Pure.
std::optional<HostPort> parse_host_port(std::string_view text, uint16_t default_port);

/// 4 or 6 for an IP address, 0 for anything else (names, IPv6 in brackets).
int ip_version(const std::string& host);
/// 0.0.0.0 or ::, "every address of this node".
bool is_unspecified_ip(const std::string& host);
/// 127.0.0.0/8 or ::1.
bool is_loopback_ip(const std::string& host);

}  // namespace swarmfs::daemon
