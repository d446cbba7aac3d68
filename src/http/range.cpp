// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/range.h"

#include <charconv>

namespace swarmfs::http {

namespace {

/// Takes a number off the front; only digits, no overflow.
std::optional<uint64_t> take_number(std::string_view& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

std::optional<util::ByteRange> take_first_and_last(std::string_view& text) {
  const auto first = take_number(text);
  if (!first || !take(text, "-")) return std::nullopt;
  const auto last = take_number(text);
  if (!last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  return util::ByteRange{*first, *last - *first + 1};
}

}  // namespace

std::optional<util::ByteRange> parse_range(std::string_view header) {
  if (!take(header, "bytes=")) return std::nullopt;
  const auto range = take_first_and_last(header);
  return header.empty() ? range : std::nullopt;
}

std::optional<ContentRange> parse_content_range(std::string_view header) {
  if (!take(header, "bytes ")) return std::nullopt;
  const auto range = take_first_and_last(header);
  if (!range || !take(header, "/")) return std::nullopt;
  if (header == "*") return ContentRange{*range, std::nullopt};
  const auto total = take_number(header);
  if (!total || !header.empty() || range->end() > *total) return std::nullopt;
  return ContentRange{*range, total};
}

}  // namespace swarmfs::http
