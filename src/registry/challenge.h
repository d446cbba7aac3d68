// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace swarmfs::registry {

/// A WWW-Authenticate header (RFC 7235; distribution spec, token.md).
struct Challenge {
  bool bearer = false;  ///< else basic
  std::string realm;
  std::string service;
  std::string scope;
};

/// The first Bearer or Basic challenge; empty when there is none that we speak.
std::optional<Challenge> parse_challenge(std::string_view header);

}  // namespace swarmfs::registry
