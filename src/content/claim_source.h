// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "fetch/fetcher.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/units.h"

namespace swarmfs::content {

/// What another node says of a layer that it hashed as a whole (design.md section 4, sealed (c)).
struct SealedLayer {
  std::shared_ptr<const chunk::HashTree> tree;
  util::Bytes index;     ///< the layer index document
  std::string claimant;  ///< whom to blame: its node id
  std::string claim;     ///< opaque: what proves to others that the claimant said it
};

/// Who knows what other nodes claim, and can make claims of this node's own. daemon fills the role
/// with the swarm; content looks into no claim. Any thread.
class ClaimSource {
 public:
  virtual ~ClaimSource() = default;
  /// Blocking, bounded by its own deadline. The claim was verified: its claimant belongs to the
  /// cluster and signed this root and this index document. Never of a claimant that was blamed.
  virtual std::optional<SealedLayer> find(const chunk::LayerRef& ref) = 0;
  /// The same until `until`, for whom it is better to have none than to wait.
  virtual std::optional<SealedLayer> find_soon(const chunk::LayerRef& ref,
                                               util::SteadyTime until) = 0;
  /// All of the layer is here, was hashed and matched its digest; what was claimed of it counts no
  /// more. Short.
  virtual void proven(const fetch::Layer& layer) = 0;
  /// The claim was wrong, `why` in words.
  virtual void blame(const std::string& claimant, const util::Digest& layer,
                     const std::string& why) = 0;
  /// A claim of this node, which hashed the layer; `index` is the SHA-256 of the layer index
  /// document. Empty without a cluster.
  virtual std::string sign(const util::Digest& layer, uint64_t size, const util::Digest& root,
                           const util::Digest& index) = 0;
};

}  // namespace swarmfs::content
