// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <string>

#include "chunk/hash_tree.h"
#include "util/digest.h"
#include "util/outcome.h"
#include "util/units.h"

namespace swarmfs::content {

/// The hash tree of a layer and who vouches for it: the store's document "tree/<hex>". Immutable.
struct TreeDocument {
  std::shared_ptr<const chunk::HashTree> tree;
  util::Digest index;    ///< SHA-256 of the layer index document that belongs to it
  std::string claimant;  ///< node that claims both; empty: this node hashed the layer itself
  std::string claim;     ///< opaque, see content::ClaimSource; empty when the claimant is

  [[nodiscard]] bool claimed() const { return !claimant.empty(); }

  /// Version 1, little-endian: "swfstre1", size (8), root (32), index (32), length (4) and text of
  /// claimant and claim, the leaves (32 each), SHA-256 of all that.
  [[nodiscard]] util::Bytes serialize() const;
  /// Fault::corrupt on anything odd: another version, a wrong checksum, leaves that do not lead to
  /// the root.
  static util::Outcome<TreeDocument> parse(util::ByteView document);
};

}  // namespace swarmfs::content
