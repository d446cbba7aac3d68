// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "util/units.h"

namespace swarmfs::http {

/// A Range header "bytes=first-last" (RFC 9110 section 14.1.2): never an empty range. Empty result:
/// anything else, also open-ended, suffix and several ranges, which nobody here asks for.
std::optional<util::ByteRange> parse_range(std::string_view header);

struct ContentRange {
  util::ByteRange range;          ///< not empty
  std::optional<uint64_t> total;  ///< of the whole thing; "*" says nothing
};

/// A Content-Range header of a 206, "bytes first-last/total" (RFC 9110 section 14.4). Empty result:
/// malformed or contradictory.
std::optional<ContentRange> parse_content_range(std::string_view header);

}  // namespace swarmfs::http
