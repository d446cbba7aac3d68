// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "util/digest.h"

/// What this room keeps in the store for a layer.
namespace swarmfs::content {

/// A layer::LayerIndex.
inline std::string index_name(const util::Digest& layer) {
  return "index/" + layer.hex();
}
/// Whose windows are kept: see WindowKeeping.
inline constexpr std::string_view kWindows = "windows/";
/// A TreeDocument.
inline constexpr std::string_view kTrees = "tree/";
inline std::string tree_name(const util::Digest& layer) {
  return std::string(kTrees) + layer.hex();
}

}  // namespace swarmfs::content
