// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace swarmfs::util {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

/// Half-open range [offset, offset + length) of bytes.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;

  [[nodiscard]] constexpr uint64_t end() const noexcept { return offset + length; }
  [[nodiscard]] constexpr bool empty() const noexcept { return length == 0; }
  [[nodiscard]] constexpr bool contains(ByteRange other) const noexcept {
    return other.offset >= offset && other.end() <= end();
  }
  /// The part that lies inside [0, size).
  [[nodiscard]] constexpr ByteRange clamp(uint64_t size) const noexcept {
    if (offset >= size) return {size, 0};
    return {offset, std::min(length, size - offset)};
  }
  auto operator<=>(const ByteRange&) const = default;
};

/// What lies in both; empty: nothing does.
constexpr ByteRange overlap(ByteRange a, ByteRange b) noexcept {
  const uint64_t start = std::max(a.offset, b.offset), end = std::min(a.end(), b.end());
  return {start, end > start ? end - start : 0};
}

inline ByteView as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// "240 MB": decimal units, for humans.
std::string human_bytes(uint64_t bytes);

/// "512", "64KiB", "10GB", "1.5GiB": what a configuration may say. Empty result: not a size.
std::optional<uint64_t> parse_bytes(std::string_view text);

/// Base64 of RFC 4648 section 4 with padding. from_base64: empty result means malformed.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

}  // namespace swarmfs::util
