// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "chunk/block.h"
#include "chunk/hash_tree.h"
#include "util/sync.h"

namespace swarmfs::cache {

/// The blocks of one layer that must be checked before they are read again, and the tree to check
/// them against. A block leaves when it proved right or was written anew, never because it is
/// absent: the evictor may put a block back. Any thread.
class Suspects {
 public:
  using Tree = std::shared_ptr<const chunk::HashTree>;
  /// What a read has to check before it hands anything out; nothing where there is no tree.
  struct Check {
    Tree tree;
    std::vector<uint64_t> blocks;
    [[nodiscard]] bool empty() const { return blocks.empty(); }
  };

  explicit Suspects(uint64_t blocks) : bits_((blocks + 63) / 64) {}

  void trust(Tree tree);
  void add(uint64_t block);
  void clear(uint64_t block);
  void clear_all();
  [[nodiscard]] Check check_of(chunk::BlockRange blocks) const;
  /// Suspect blocks. A read costs no more than a look at this while it is 0.
  [[nodiscard]] uint64_t count() const { return count_; }

 private:
  std::vector<std::atomic<uint64_t>> bits_;
  std::atomic<uint64_t> count_{0};
  util::Sync<Tree> tree_;
};

}  // namespace swarmfs::cache
