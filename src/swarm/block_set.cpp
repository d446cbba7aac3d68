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
  for (uint64_t i = blocks.first; i < blocks.end();) {
    const bool whole_byte = i % 8 == 0 && blocks.end() - i >= 8;
    const unsigned bits = whole_byte ? 0xff : 1u << (i % 8);
    bytes_[i / 8] = static_cast<uint8_t>(bytes_[i / 8] | bits);
    i += whole_byte ? 8 : 1;
  }
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

uint64_t BlockSet::end_of_run(uint64_t block, bool present) const {
  const uint8_t whole = present ? 0xff : 0;
  while (block < count_) {
    const bool whole_byte = block % 8 == 0 && count_ - block >= 8 && bytes_[block / 8] == whole;
    if (!whole_byte && test(block) != present) break;
    block += whole_byte ? 8 : 1;
  }
  return block;
}

std::vector<uint64_t> BlockSet::runs() const {
  std::vector<uint64_t> made;
  bool present = false;
  for (uint64_t begin = 0, end = 0; begin < count_; begin = end, present = !present) {
    end = end_of_run(begin, present);
    made.push_back(end - begin);
  }
  return made;
}

std::optional<BlockSet> BlockSet::of_runs(const std::vector<uint64_t>& runs, uint64_t block_count) {
  BlockSet made(block_count);
  uint64_t at = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i] > block_count - at || (runs[i] == 0 && i > 0)) return std::nullopt;
    if (i % 2 == 1) made.add({at, runs[i]});
    at += runs[i];
  }
  return at == block_count ? std::optional(std::move(made)) : std::nullopt;
}

}  // namespace swarmfs::swarm
