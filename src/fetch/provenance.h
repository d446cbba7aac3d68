// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "chunk/block.h"
#include "chunk/hash_tree.h"
#include "util/digest.h"

namespace swarmfs::fetch {

/// Somebody behind one of the fetcher's sources.
struct Supplier {
  size_t source = 0;  ///< index among the sources
  std::string name;   ///< as chunk::Transfer::supplier says
  auto operator<=>(const Supplier&) const = default;
};

/// Who gave the blocks of a provisional layer, and the hash of what came, so that a tree that comes
/// later convicts the liars and nobody else. Not synchronised.
class Provenance {
 public:
  struct Lie {
    uint64_t block = 0;
    Supplier supplier;
    auto operator<=>(const Lie&) const = default;
  };

  explicit Provenance(uint64_t blocks) : unproven_(blocks) {}

  /// `leaf`: SHA-256 of the block as it came from a peer.
  void came_from_peer(uint64_t block, const Supplier& supplier, const util::Digest& leaf);
  /// It was refused, for it contradicts what is claimed: who is wrong a tree to come will tell.
  void contradicted(uint64_t block, const Supplier& supplier, const util::Digest& leaf);
  void came_from_registry(uint64_t block) { unproven_[block] = true; }
  /// There are bytes of an earlier run, whose suppliers nobody remembers.
  void inherit() { inherited_ = true; }
  /// All blocks of peers, also those that are gone, that the tree contradicts.
  [[nodiscard]] std::vector<Lie> lies(const chunk::HashTree& tree) const;
  /// Blocks that nobody has checked: those of the registry.
  [[nodiscard]] std::vector<chunk::BlockRange> unproven() const;
  /// The peers that gave something since discarded(), each once.
  [[nodiscard]] std::vector<Supplier> suppliers() const;
  /// Bytes that are wrong as a whole can only have come from this one, or the registry.
  [[nodiscard]] bool is_alone(const Supplier& supplier) const;
  /// The layer's bytes are gone, or proven from now on; who gave which is kept for a tree to come.
  void discarded();
  /// The layer is sealed by what was hashed here: nothing is left to tell.
  void clear();

 private:
  std::set<Supplier> known_;
  std::set<const Supplier*> lately_;  ///< into known_, as are those of
  std::map<std::pair<uint64_t, const Supplier*>, util::Digest> from_peers_;
  std::vector<bool> unproven_;
  bool inherited_ = false;
};

}  // namespace swarmfs::fetch
