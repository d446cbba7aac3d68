// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "layer/file_table_builder.h"
#include "util/units.h"

namespace swarmfs::layer {

/// Reads a tar archive pushed in pieces of any size and tells a FileTableBuilder what it holds:
/// ustar, GNU long names and sparse files (old and PAX 0.0, 0.1, 1.0), base-256 numbers, pax
/// headers with xattrs (SCHILY.xattr.*). File bytes are passed over, only their place is kept.
/// Throws BadLayer.
class TarReader {
 public:
  explicit TarReader(FileTableBuilder& files) : files_(files) {}
  void feed(util::ByteView bytes);
  /// After the last byte. Throws when the archive stops inside an entry.
  void finish();

 private:
  enum class State {
    header,
    long_name,
    long_link,
    pax,
    global_pax,
    gnu_sparse,
    pax_sparse,
    skip,
    end
  };
  using Records = std::map<std::string, std::string, std::less<>>;

  size_t feed_some(util::ByteView bytes);
  void on_block();
  void on_header();
  void on_payload();
  void collect(State state, uint64_t size);
  void begin_entry();
  void on_gnu_sparse();
  void on_pax_sparse();
  void end_entry();
  void parse_pax(Records& into);
  void apply_pax(Inode& inode);
  void map_file();
  [[nodiscard]] const std::string* record(std::string_view key) const;

  FileTableBuilder& files_;
  State state_ = State::header;
  uint64_t position_ = 0;  ///< in the data space
  std::string buffer_;     ///< header block or payload being collected
  uint64_t wanted_ = 512;  ///< bytes that buffer_ or the skip still lacks
  uint64_t payload_ = 0;   ///< payload bytes without padding
  Records pax_, global_;
  uint64_t pax_bytes_ = 0, global_bytes_ = 0;  ///< of all headers that made them
  std::string long_name_, long_link_;
  bool seen_entry_ = false;
  // The entry at hand.
  Inode inode_;
  char type_ = 0;
  std::string path_, link_;
  uint64_t stored_ = 0;  ///< bytes in the archive
  std::vector<std::pair<uint64_t, uint64_t>> sparse_;
  bool is_sparse_ = false;
};

}  // namespace swarmfs::layer
