// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/block_set.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "util/units.h"

namespace swarmfs::swarm {

void BlockSet::add(chunk::BlockRange blocks) {
  assert(blocks.end() <= count_);
  for (uint64_t i = blocks.first; i < blocks.end(); ++i)
    bytes_[i / 8] = static_cast<uint8_t>(bytes_[i / 8] | 1u << (i % 8));
}

void BlockSet::remove(chunk::BlockRange blocks) {
  for (uint64_t i = blocks.first; i < std::min(blocks.end(), count_); ++i)
    bytes_[i / 8] = static_cast<uint8_t>(bytes_[i / 8] & ~(1u << (i % 8)));
}

bool BlockSet::has(chunk::BlockRange blocks) const {
  if (blocks.end() > count_) return false;
  for (uint64_t i = blocks.first; i < blocks.end();) {
    const bool whole_byte = i % 8 == 0 && blocks.end() - i >= 8;
    if (whole_byte ? bytes_[i / 8] != 0xff : !test(i)) return false;
    i += whole_byte ? 8 : 1;
  }
  return true;
}

uint64_t BlockSet::count() const {
  uint64_t found = 0;
  for (const uint8_t byte : bytes_) found += static_cast<uint64_t>(std::popcount(byte));
  return found;
}

std::string BlockSet::to_base64() const {
  return util::to_base64({reinterpret_cast<const char*>(bytes_.data()), bytes_.size()});
}

std::optional<BlockSet> BlockSet::parse(std::string_view base64, uint64_t block_count) {
  const auto raw = util::from_base64(base64);
  if (!raw || raw->size() != (block_count + 7) / 8) return std::nullopt;
  BlockSet made(block_count);
  std::copy(raw->begin(), raw->end(), made.bytes_.begin());
  if (block_count % 8 && made.bytes_.back() >> (block_count % 8)) return std::nullopt;
  return made;
}

}  // namespace swarmfs::swarm
