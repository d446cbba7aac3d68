// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace swarmfs::http {

/// In the order of the message; a name may come twice.
using Headers = std::vector<std::pair<std::string, std::string>>;

/// By name, whatever its case; the first one.
std::optional<std::string> find_header(const Headers& headers, std::string_view name);

/// All of that name, joined with ", " (RFC 9110 5.3); empty: none.
std::string joined_header(const Headers& headers, std::string_view name);

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7; the obsolete forms are nothing), of any
/// year.
std::optional<std::time_t> parse_date(const std::string& text);

}  // namespace swarmfs::http
