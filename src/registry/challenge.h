// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace swarmfs::registry {

/// A challenge of a WWW-Authenticate header (RFC 9110 11.6.1; distribution spec, token.md).
struct Challenge {
  bool bearer = false;  ///< else basic
  std::string realm;
  std::string service;
  std::string scope;
};

/// Of the challenges in a header, or in all of that name joined with commas, one that we speak:
/// Bearer before Basic. Empty: none.
std::optional<Challenge> parse_challenge(std::string_view headers);

}  // namespace swarmfs::registry
