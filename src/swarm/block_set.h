// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chunk/block.h"

namespace swarmfs::swarm {

/// Which blocks of a layer somebody has. A value.
class BlockSet {
 public:
  BlockSet() = default;
  explicit BlockSet(uint64_t block_count) : count_(block_count), bytes_((block_count + 7) / 8) {}

  void add(chunk::BlockRange blocks);
  void remove(chunk::BlockRange blocks);
  /// All of `blocks`; false for blocks beyond the end.
  [[nodiscard]] bool has(chunk::BlockRange blocks) const;
  [[nodiscard]] uint64_t size() const { return count_; }
  /// How many are there.
  [[nodiscard]] uint64_t count() const;

  /// Base64 of the bits, block i in bit i%8 of byte i/8. Empty result of parse(): not a set of so
  /// many blocks, or bits beyond the last.
  [[nodiscard]] std::string to_base64() const;
  static std::optional<BlockSet> parse(std::string_view base64, uint64_t block_count);
  /// Lengths of its runs: of blocks that are not there, of blocks that are, and so on by turns. The
  /// first alone may be 0. Empty result of of_runs(): not such lengths, or not of so many blocks.
  [[nodiscard]] std::vector<uint64_t> runs() const;
  static std::optional<BlockSet> of_runs(const std::vector<uint64_t>& runs, uint64_t block_count);
  bool operator==(const BlockSet&) const = default;

 private:
  [[nodiscard]] uint64_t end_of_run(uint64_t block, bool present) const;
  [[nodiscard]] bool test(uint64_t block) const { return bytes_[block / 8] >> (block % 8) & 1; }

  uint64_t count_ = 0;
  std::vector<uint8_t> bytes_;
};

}  // namespace swarmfs::swarm
