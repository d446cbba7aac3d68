// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "util/outcome.h"

namespace swarmfs::oci {

/// "linux/arm64/v8" (image-spec, image-index.md). An empty variant means the usual one.
struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;

  /// What this machine runs.
  static Platform host();
  static util::Outcome<Platform> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  /// Whether an image for `other` runs here; variants compare after defaults (arm64 = v8, arm =
  /// v7).
  [[nodiscard]] bool accepts(const Platform& other) const;
};

}  // namespace swarmfs::oci
