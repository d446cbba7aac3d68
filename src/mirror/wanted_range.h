// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string_view>

#include "http/headers.h"
#include "util/units.h"

namespace swarmfs::mirror {

/// What a request wants of `size` bytes.
struct WantedRange {
  enum class Kind { whole, part, unsatisfiable };
  Kind kind = Kind::whole;
  util::ByteRange range{};  ///< of whole and part
  bool to_the_end = true;   ///< nobody named an end: all the rest may be wanted
};

/// Reads Range "bytes=a-b", "a-", "-n" (RFC 9110 section 14.2) and If-Range against `etag` (with
/// its quotes). What is malformed, of another unit or several ranges is ignored: all is wanted.
WantedRange wanted_range(const http::Headers& headers, uint64_t size, std::string_view etag);

/// Whether If-None-Match names the etag, or any.
bool is_known_already(const http::Headers& headers, std::string_view etag);

/// Whether the Accept headers, one or several lines, take this media type. Without any: yes.
bool accepts(const http::Headers& headers, std::string_view media_type);

}  // namespace swarmfs::mirror
