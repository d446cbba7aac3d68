// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/wanted_range.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace swarmfs::mirror {

namespace {

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// All of `text` must be digits. What is too large for a number is the largest.
std::optional<uint64_t> number(std::string_view text) {
  uint64_t made = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), made);
  if (text.empty() || end != text.data() + text.size()) return std::nullopt;
  return error == std::errc() ? made : UINT64_MAX;
}

/// Calls `each` for the parts of a header's list; true as soon as it says so.
template <class Each>
bool any_of_list(std::string_view list, Each each) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (each(trim(list.substr(0, comma)))) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

WantedRange wanted_range(const http::Headers& headers, uint64_t size, std::string_view etag) {
  const WantedRange whole{WantedRange::Kind::whole, {0, size}, true};
  const WantedRange nothing{WantedRange::Kind::unsatisfiable, {}, false};
  const auto header = http::find_header(headers, "Range");
  if (!header) return whole;
  if (const auto condition = http::find_header(headers, "If-Range"); condition && condition != etag)
    return whole;
  std::string_view text = trim(*header);
  if (!text.starts_with("bytes=")) return whole;
  text = trim(text.substr(6));
  const size_t dash = text.find('-');
  if (dash == text.npos || text.find(',') != text.npos) return whole;
  const auto first = number(text.substr(0, dash)), last = number(text.substr(dash + 1));
  if (dash == 0) {
    if (!last) return whole;
    const uint64_t count = std::min(*last, size);
    if (count == 0) return nothing;
    return {WantedRange::Kind::part, {size - count, count}, false};
  }
  const bool open = dash + 1 == text.size();
  if (!first || (!open && (!last || *last < *first))) return whole;
  if (*first >= size) return nothing;
  const uint64_t end = open ? size : std::min(size - 1, *last) + 1;
  return {WantedRange::Kind::part, {*first, end - *first}, open};
}

bool is_known_already(const http::Headers& headers, std::string_view etag) {
  const auto list = http::joined_header(headers, "If-None-Match");
  return any_of_list(list, [&](std::string_view one) {
    if (one.starts_with("W/")) one.remove_prefix(2);
    return one == etag || one == "*";
  });
}

bool accepts(const http::Headers& headers, std::string_view media_type) {
  const auto list = http::joined_header(headers, "Accept");
  if (list.empty()) return true;
  return any_of_list(list, [&](std::string_view one) {
    one = trim(one.substr(0, one.find(';')));
    if (one == media_type || one == "*/*") return true;
    return one.ends_with("/*") && media_type.starts_with(one.substr(0, one.size() - 1));
  });
}

}  // namespace swarmfs::mirror
