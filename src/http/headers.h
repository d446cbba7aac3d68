// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

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

}  // namespace swarmfs::http
