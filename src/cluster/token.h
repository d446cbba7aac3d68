// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/derive.h"
#include "util/outcome.h"

namespace swarmfs::cluster {

/// The one secret of a cluster: whoever holds it is a member and may admit others.
/// Text: "swarmfs-cluster-1:" and base64url without padding of 32 random bytes and the first 4
/// bytes of SHA-256("swarmfs-cluster-1:" + those 32), which find a token that was copied badly.
/// A value. No message of this room contains a token or a part of one.
class Token {
 public:
  /// A new one from the system's random numbers. Throws util::Error where there are none.
  static Token make();
  /// Failure (invalid): not a token, or a damaged one.
  static util::Outcome<Token> parse(std::string_view text);

  [[nodiscard]] std::string text() const;
  /// What the token yields for `purpose`; the token cannot be had back from it.
  [[nodiscard]] Secret derive(std::string_view purpose) const;
  bool operator==(const Token&) const = default;

 private:
  explicit Token(const Secret& secret) : secret_(secret) {}

  Secret secret_;
};

/// The tokens of a token file: one a line, one or two of them; empty lines and lines that begin
/// with '#' are skipped. The first one issues certificates, all are trusted. `name` is used in
/// messages only. Throws util::Error that names the file and the line. Pure.
std::vector<Token> parse_tokens(std::string_view text, const std::string& name);

/// Reads such a file and warns where other users of the system may read it. Throws util::Error.
std::vector<Token> read_tokens(const std::filesystem::path& file);

}  // namespace swarmfs::cluster
