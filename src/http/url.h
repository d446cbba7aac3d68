// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace swarmfs::http {

/// An absolute http or https URL, taken apart (RFC 3986).
struct Url {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< IPv6 in brackets
  std::string port;    ///< empty: the scheme's own
  std::string target;  ///< path and query, starts with '/'

  static std::optional<Url> parse(std::string_view text);
  [[nodiscard]] std::string origin() const;
  [[nodiscard]] std::string to_string() const { return origin() + target; }
};

/// Where a Location header points, seen from `base`. Empty: not an http(s) URL.
std::optional<Url> resolve(const Url& base, std::string_view location);

/// What a request line asks for, in origin form ("/a%20b?c=d"), percent-decoded once. A path may
/// hold anything after that, also "..", "//" and NUL.
struct Target {
  std::string path;                          ///< starts with '/'
  std::map<std::string, std::string> query;  ///< of equal names the last; '+' is a space here

  /// Empty: not the origin form, or an escape that is none.
  static std::optional<Target> parse(std::string_view text);
};

/// "localhost", 127.0.0.0/8 or [::1], with or without a port.
bool is_loopback(std::string_view host_and_port);

}  // namespace swarmfs::http
