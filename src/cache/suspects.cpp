// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/suspects.h"

#include <utility>

namespace swarmfs::cache {

void Suspects::trust(Tree tree) {
  *tree_.lock() = std::move(tree);
}

void Suspects::add(uint64_t block) {
  const uint64_t bit = 1ull << (block % 64);
  ++count_;
  if (bits_[block / 64].fetch_or(bit) & bit) --count_;
}

void Suspects::clear(uint64_t block) {
  const uint64_t bit = 1ull << (block % 64);
  if (count_ && bits_[block / 64].fetch_and(~bit) & bit) --count_;
}

void Suspects::clear_all() {
  for (uint64_t block = 0; block < bits_.size() * 64; ++block) clear(block);
}

Suspects::Check Suspects::check_of(chunk::BlockRange blocks) const {
  Check check;
  if (count_ == 0) return check;
  for (uint64_t block = blocks.first; block < blocks.end(); ++block)
    if (bits_[block / 64] >> (block % 64) & 1) check.blocks.push_back(block);
  if (check.blocks.empty()) return check;
  check.tree = *tree_.lock();
  if (!check.tree) check.blocks.clear();
  return check;
}

}  // namespace swarmfs::cache
