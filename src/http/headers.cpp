// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/headers.h"

#include <strings.h>

namespace swarmfs::http {

namespace {

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::optional<std::string> find_header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (same(key, name)) return value;
  return std::nullopt;
}

std::string joined_header(const Headers& headers, std::string_view name) {
  std::string made;
  for (const auto& [key, value] : headers)
    if (same(key, name)) made += (made.empty() ? "" : ", ") + value;
  return made;
}

std::optional<std::time_t> parse_date(const std::string& text) {
  std::tm when{};
  const char* const rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &when);
  if (!rest || *rest) return std::nullopt;
  return ::timegm(&when);
}

}  // namespace swarmfs::http
