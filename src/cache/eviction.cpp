// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// CachedLayer: how what it holds goes.

#include <thread>

#include "cache/cached_layer.h"

namespace swarmfs::cache {

using chunk::BlockRange;
using util::ByteRange;

std::vector<CachedLayer::Candidate> CachedLayer::candidates() const {
  std::vector<Candidate> found;
  if (pinned_) return found;
  for (size_t i = 0; i < extents_.size(); ++i) {
    const BlockRange blocks = blocks_of(i);
    bool any = false;
    for (uint64_t block = blocks.first; block < blocks.end() && !any; ++block) any = is_set(block);
    if (any && extents_[i].leases == 0) found.push_back({extents_[i].last_use, i});
  }
  return found;
}

void CachedLayer::clear_extents(const std::vector<size_t>& extents, std::vector<size_t>& cleared,
                                uint64_t& blocks) {
  for (const size_t index : extents) {
    Extent& extent = extents_[index];
    extent.evicting = true;
    std::vector<uint64_t> gone;
    if (extent.leases == 0) {
      const BlockRange range = blocks_of(index);
      for (uint64_t block = range.first; block < range.end(); ++block)
        if (clear(block)) gone.push_back(block);
      if (extent.leases != 0) {
        for (const uint64_t block : gone) set(block);
        gone.clear();
      }
    }
    if (gone.empty()) {
      extent.evicting = false;
      continue;
    }
    present_ -= gone.size();
    blocks += gone.size();
    cleared.push_back(index);
  }
}

uint64_t CachedLayer::evict(const std::vector<size_t>& extents) {
  if (pinned_) return 0;
  auto files = files_.lock();
  std::vector<size_t> cleared;
  uint64_t blocks = 0;
  clear_extents(extents, cleared, blocks);
  if (cleared.empty()) return 0;
  // Only what was durable before and is still there: the rest waits for its own sync.
  auto& durable = files->facts().bits;
  for (size_t i = 0; i < durable.size(); ++i) durable[i] &= bits_[i];
  if (verified_) files->facts().verified = verified_ = false;
  files->save_bits(durable);
  for (const size_t index : cleared) {
    const ByteRange bytes{index * kExtent, kExtent};
    files->punch(bytes.offset, bytes.length);
    extents_[index].evicting = false;
  }
  budget_.give_back(blocks * chunk::kBlockSize);
  return blocks * chunk::kBlockSize;
}

void CachedLayer::discard() {
  std::vector<size_t> rest;
  for (size_t i = 0; i < extents_.size(); ++i) rest.push_back(i);
  const bool was_pinned = pinned_.exchange(false);
  while (bytes_present() > 0) {
    evict(rest);
    std::this_thread::yield();
  }
  lookahead_.clear();
  pinned_ = was_pinned;
}

}  // namespace swarmfs::cache
