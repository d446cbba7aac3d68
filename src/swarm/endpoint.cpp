// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace swarmfs::swarm {
namespace {

std::string print(int family, const void* address) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(family, address, text, sizeof text);
}

/// RFC 1123, and '_' since people use it. A last label of digits would be a broken IPv4 address.
std::optional<std::string> parse_name(std::string_view text) {
  if (text.empty() || text.size() > 253 || text.front() == '.' || text.front() == '-') return {};
  if (text.find("..") != std::string_view::npos) return {};
  std::string name;
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!upper && !plain && c != '.' && c != '-' && c != '_') return {};
    name += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  const std::string_view last = std::string_view(name).substr(name.rfind('.') + 1);
  if (last.find_first_not_of("0123456789") == std::string_view::npos) return {};
  return name;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return {};
  return port;
}

bool is_v6(std::string_view address) {
  return address.find(':') != std::string_view::npos;
}

}  // namespace

std::optional<std::string> canonical_address(std::string_view text) {
  const std::string copy(text);
  in_addr v4{};
  if (inet_pton(AF_INET, copy.c_str(), &v4) == 1) return print(AF_INET, &v4);
  in6_addr v6{};
  if (inet_pton(AF_INET6, copy.c_str(), &v6) != 1) return {};
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return print(AF_INET, &v6.s6_addr[12]);
  return print(AF_INET6, &v6);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  const auto port = parse_port(text.substr(colon + 1));
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  if (!port || brackets != is_v6(host)) return {};
  const auto literal = canonical_address(host);
  if (literal) return Endpoint{*literal, *port};
  const auto name = brackets ? std::nullopt : parse_name(host);
  if (!name) return {};
  return Endpoint{*name, *port};
}

std::string Endpoint::to_string() const {
  const std::string port_text = ":" + std::to_string(port);
  return is_v6(address) ? "[" + address + "]" + port_text : address + port_text;
}

bool Endpoint::is_literal() const {
  return canonical_address(address) == address;
}

}  // namespace swarmfs::swarm
