// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <compare>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "util/units.h"

namespace swarmfs::util {

/// A sha256 content digest as OCI writes it: "sha256:<64 hex digits>" (image-spec, descriptor.md).
class Digest {
 public:
  Digest() = default;
  explicit Digest(const std::array<std::byte, 32>& bytes) : bytes_(bytes) {}
  /// Accepts "sha256:<hex>" only, lower case. Empty result: malformed or another algorithm.
  static std::optional<Digest> parse(std::string_view text);
  /// Accepts 64 lower-case hex digits.
  static std::optional<Digest> parse_hex(std::string_view hex);

  [[nodiscard]] std::string hex() const;
  /// "sha256:<hex>"
  [[nodiscard]] std::string to_string() const { return "sha256:" + hex(); }
  /// The first 12 hex digits, for people.
  [[nodiscard]] std::string short_hex() const { return hex().substr(0, 12); }
  [[nodiscard]] const std::array<std::byte, 32>& bytes() const noexcept { return bytes_; }
  auto operator<=>(const Digest&) const = default;

 private:
  std::array<std::byte, 32> bytes_{};
};

/// Streaming SHA-256. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void update(ByteView bytes);
  /// Ends the hash; the object starts afresh.
  Digest finish();
  static Digest of(ByteView bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// HMAC-SHA256 (RFC 2104).
Digest hmac_sha256(ByteView key, ByteView message);

}  // namespace swarmfs::util

template <>
struct std::hash<swarmfs::util::Digest> {
  size_t operator()(const swarmfs::util::Digest& digest) const noexcept {
    size_t value;
    static_assert(sizeof value <= 32);
    __builtin_memcpy(&value, digest.bytes().data(), sizeof value);
    return value;
  }
};
