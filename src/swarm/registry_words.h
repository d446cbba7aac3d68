// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "util/digest.h"
#include "util/outcome.h"

namespace swarmfs::swarm {

/// What a node tells of one registry, so that nodes together keep to what it may be asked.
struct RegistryWord {
  bool asks = false;                  ///< it brings layers in that it may ask the registry for
  std::chrono::milliseconds held{0};  ///< so long the registry told it to wait (Retry-After)
  bool operator==(const RegistryWord&) const = default;
};
/// By registry_name().
using RegistryWords = std::map<util::Digest, RegistryWord>;

/// SHA-256 of "swarmfs-registry-1\n<host>": who does not know the host does not learn it.
util::Digest registry_name(std::string_view host);

/// The header Swarmfs-Registries: "<hex>;asks;held=12000,<hex>;asks", at most 16 of them.
std::string to_header(const RegistryWords& words);
/// Failure (invalid): not such a text, or too long. Pure.
util::Outcome<RegistryWords> parse_registry_words(std::string_view text);

}  // namespace swarmfs::swarm
