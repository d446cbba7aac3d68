// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// CachedLayer: how what it holds goes.

#include <algorithm>
#include <bit>
#include <numeric>
#include <thread>

#include "cache/cached_layer.h"

namespace swarmfs::cache {

std::vector<CachedLayer::Candidate> CachedLayer::candidates() const {
  std::vector<Candidate> found;
  if (pinned_) return found;
  for (size_t i = 0; i < extents_.size(); ++i) {
    const Extent& extent = extents_[i];
    const auto blocks = static_cast<uint64_t>(std::popcount(bits_[i].load()));
    if ((blocks == 0 && !extent.spoiled) || extent.leases != 0) continue;
    found.push_back({blocks ? extent.last_use.load() : 0, i, blocks * chunk::kBlockSize});
  }
  return found;
}

std::vector<CachedLayer::Cleared> CachedLayer::clear_extents(const std::vector<size_t>& extents) {
  std::vector<Cleared> cleared;
  for (const size_t index : extents) {
    Extent& extent = extents_[index];
    extent.evicting = true;
    bool idle = extent.leases == 0;
    const uint64_t bits = idle ? bits_[index].exchange(0) : 0;
    if (idle && extent.leases != 0) {
      bits_[index] |= bits;
      idle = false;
    }
    if (!idle || (bits == 0 && !extent.spoiled)) {
      extent.evicting = false;
      continue;
    }
    present_ -= static_cast<uint64_t>(std::popcount(bits));
    cleared.push_back({index, bits});
  }
  return cleared;
}

void CachedLayer::put_back(const std::vector<Cleared>& cleared) {
  for (const auto& [extent, bits] : cleared) {
    present_ += static_cast<uint64_t>(std::popcount(bits));
    bits_[extent] |= bits;
    extents_[extent].evicting = false;
  }
}

bool CachedLayer::forget_bits(LayerFiles& files) {
  try {
    files.forget_bits();
    std::fill(files.facts().bits.begin(), files.facts().bits.end(), 0);
    return true;
  } catch (const util::SysError& error) {
    budget_.disk_failed(error);
    return false;
  }
}

void CachedLayer::punch(LayerFiles& files, size_t extent) {
  extents_[extent].spoiled = false;
  try {
    files.punch(extent * kExtent, kExtent);
  } catch (const util::SysError& error) {
    extents_[extent].spoiled = true;
    budget_.disk_failed(error);
  }
}

uint64_t CachedLayer::evict(const std::vector<size_t>& extents) {
  return pinned_ ? 0 : drop(extents, false);
}

/// `anyway`: the bytes are not to be seen again, even if the disk does not forget them.
uint64_t CachedLayer::drop(const std::vector<size_t>& extents, bool anyway) {
  auto files = files_.lock();
  const auto cleared = clear_extents(extents);
  if (cleared.empty()) return 0;
  auto& facts = files->facts();
  const auto before = facts;
  const bool verified = verified_;
  uint64_t blocks = 0;
  for (const auto& [extent, bits] : cleared) blocks += static_cast<uint64_t>(std::popcount(bits));
  // Only what was durable before and is still there: the rest waits for its own sync.
  for (size_t i = 0; i < facts.bits.size(); ++i) facts.bits[i] &= bits_[i];
  if (blocks > 0) facts.verified = verified_ = false;
  const bool durable = save_bits(*files) || forget_bits(*files);
  if (!durable && !anyway) {
    facts = before;
    verified_ = verified;
    put_back(cleared);
    return 0;
  }
  for (const auto& [extent, bits] : cleared) {
    if (durable)
      punch(*files, extent);
    else
      extents_[extent].spoiled = true;
    extents_[extent].evicting = false;
  }
  budget_.give_back(blocks * chunk::kBlockSize);
  return blocks * chunk::kBlockSize;
}

void CachedLayer::discard() {
  std::vector<size_t> all(extents_.size());
  std::iota(all.begin(), all.end(), 0);
  while (bytes_present() > 0) {
    drop(all, true);
    std::this_thread::yield();
  }
  lookahead_.clear();
}

}  // namespace swarmfs::cache
