// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>

#include "chunk/fetch_context.h"
#include "util/digest.h"

namespace swarmfs::fetch {

/// What sources gave for one block that does not match the layer's tree. One wrong answer, be it
/// the registry's, says nothing of the tree: what is between us and the registry may have damaged
/// it. Two that are the same do. Not synchronised.
class Contradiction {
 public:
  /// `leaf`: SHA-256 of the block as it came.
  void add(const util::Digest& leaf, chunk::SourceKind by) {
    auto& said = answers_[leaf];
    ++said.all;
    if (by != chunk::SourceKind::registry) return;
    ++said.of_registry;
    ++of_registry_;
  }
  /// The registry and another answer, its own or a peer's, say the same against the tree.
  [[nodiscard]] bool holds() const {
    for (const auto& [leaf, said] : answers_)
      if (said.of_registry > 0 && said.all > 1) return true;
    return false;
  }
  [[nodiscard]] unsigned of_registry() const { return of_registry_; }

 private:
  struct Answers {
    unsigned all = 0;
    unsigned of_registry = 0;
  };
  std::map<util::Digest, Answers> answers_;
  unsigned of_registry_ = 0;
};

}  // namespace swarmfs::fetch
