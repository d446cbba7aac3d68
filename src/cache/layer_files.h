// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "chunk/store.h"
#include "util/digest.h"
#include "util/unique_fd.h"

namespace swarmfs::cache {

/// The two files of one layer: `<hex>.bytes` (sparse data, or `.space`) and `<hex>.bits` (header
/// and bitmap). Not synchronised: CachedLayer is. All calls block; failures throw util::SysError.
class LayerFiles {
 public:
  struct Facts {
    util::Digest digest;
    chunk::Form form = chunk::Form::bytes;
    uint64_t size = 0;
    bool verified = false;
    bool pinned = false;
    std::vector<uint64_t> bits;  ///< bit i of word i/64: block i is durable
  };

  /// Opens or creates. Bits that cannot be trusted (foreign, torn, other size) drop the data. What
  /// is new needs no blocks of the disk before its bits are first saved.
  LayerFiles(const std::filesystem::path& directory, const util::Digest& digest, chunk::Form form,
             uint64_t size);

  /// What a bits file says; empty when it is unreadable.
  static std::optional<Facts> peek(const std::filesystem::path& bits_file);

  [[nodiscard]] Facts& facts() { return facts_; }
  /// It was made anew: its bits are not saved yet.
  [[nodiscard]] bool fresh() const { return fresh_; }
  [[nodiscard]] int buffered() const { return buffered_.get(); }
  /// O_DIRECT; the same as buffered() on file systems without it.
  [[nodiscard]] int direct() const { return direct_ ? direct_.get() : buffered_.get(); }
  [[nodiscard]] bool has_direct() const { return static_cast<bool>(direct_); }

  void sync_data();
  /// Writes header and `bits`, and syncs them. The caller has synced the data first.
  void save_bits(std::span<const uint64_t> bits);
  /// Durably takes back all that the bits said, until they are saved again. A disk that is too full
  /// for save_bits() still does this.
  void forget_bits();
  /// Frees the disk space of [offset, offset + length), after the bits are gone.
  void punch(uint64_t offset, uint64_t length);
  /// What was opened stays open until this object goes.
  void remove();

 private:
  void create();

  std::filesystem::path data_path_;
  std::filesystem::path bits_path_;
  Facts facts_;
  bool fresh_ = false;
  util::UniqueFd buffered_;
  util::UniqueFd direct_;
  util::UniqueFd bits_;
};

}  // namespace swarmfs::cache
