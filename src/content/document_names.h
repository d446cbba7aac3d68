// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

#include "util/digest.h"

/// What this room keeps in the store for a layer.
namespace swarmfs::content {

/// A layer::LayerIndex.
inline std::string index_name(const util::Digest& layer) {
  return "index/" + layer.hex();
}
/// A TreeDocument.
inline std::string tree_name(const util::Digest& layer) {
  return "tree/" + layer.hex();
}

}  // namespace swarmfs::content
