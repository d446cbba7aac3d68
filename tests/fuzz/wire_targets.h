// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <string>
#include <vector>

namespace swarmfs::fuzz {

/// A function that reads what another node, or anybody, says.
struct Target {
  std::string name;
  std::vector<std::string> seeds;  ///< that it accepts
  /// Whether it takes the text. Throws util::Error where what it took does not survive being
  /// written and read again.
  std::function<bool(const std::string& text)> reads;
};

std::vector<Target> wire_targets();
/// Of the mirror, and of what registries say to it.
std::vector<Target> mirror_targets();

}  // namespace swarmfs::fuzz
