// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace swarmfs::swarm {

/// Where a peer listens. Literal addresses are kept in the one form that inet_ntop prints (IPv4 in
/// IPv6 clothing becomes IPv4), names in lower case, so that equal endpoints compare equal.
struct Endpoint {
  std::string address;  ///< "10.0.0.3", "2001:db8::1" (no brackets), "node-7.cluster.local"
  uint16_t port = 0;

  /// "10.0.0.3:7946", "[2001:db8::1]:7946", "node-7:7946". Empty result: malformed, a zone id
  /// ("%eth0"), or port 0.
  static std::optional<Endpoint> parse(std::string_view text);
  /// As parse() reads it.
  [[nodiscard]] std::string to_string() const;
  /// An address, not a name.
  [[nodiscard]] bool is_literal() const;
  auto operator<=>(const Endpoint&) const = default;
};

/// The one form of a literal address; empty result: not an address.
std::optional<std::string> canonical_address(std::string_view text);

}  // namespace swarmfs::swarm

template <>
struct std::hash<swarmfs::swarm::Endpoint> {
  size_t operator()(const swarmfs::swarm::Endpoint& endpoint) const noexcept {
    return std::hash<std::string>{}(endpoint.address) * 31 + endpoint.port;
  }
};
