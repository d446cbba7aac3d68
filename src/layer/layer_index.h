// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layer/file_table.h"
#include "layer/window.h"
#include "util/digest.h"
#include "util/outcome.h"
#include "util/units.h"

namespace swarmfs::layer {

enum class Compression : uint8_t { none, gzip, zstd };

constexpr const char* to_string(Compression compression) noexcept {
  switch (compression) {
    case Compression::none:
      return "plain tar";
    case Compression::gzip:
      return "gzip";
    case Compression::zstd:
      return "zstd";
  }
  return "unknown";
}

/// A place from which the data space can be inflated without what stands before it (zran.c of
/// zlib for gzip; a frame start for zstd).
struct Checkpoint {
  uint64_t space_offset = 0;
  uint64_t bytes_offset = 0;  ///< first compressed byte that is not yet fully consumed
  uint8_t bits = 0;           ///< gzip: bits of the byte before that are still to come
  bool member_start = false;  ///< a gzip header, a zstd frame: needs no window
  /// gzip: where in the layer's windows that one lies, packed, which inflating from here needs.
  /// Empty where it needs none.
  util::ByteRange window{};
  WindowHash window_hash{};  ///< of the window as it is unpacked; zeros without one
  bool operator==(const Checkpoint&) const = default;
};

/// From one checkpoint to the next: the unit of inflating.
struct Span {
  size_t index = 0;
  util::ByteRange space;  ///< what it inflates to
  util::ByteRange bytes;  ///< what is needed for that
};

/// All that makes a layer lazy: file table and checkpoints. The windows are a thing of their own,
/// as long as a tenth of the layer, of which a reader needs one at a time: packed, one after the
/// other, in the order of their checkpoints. Immutable once built; any thread.
struct LayerIndex {
  /// More than this between two checkpoints is no random access.
  static constexpr uint64_t kMaxSpan = 16 << 20;
  /// What is hashed as one of the windows (chunk::kBlockSize).
  static constexpr uint64_t kWindowsBlock = 16 * 1024;

  Compression compression = Compression::none;
  uint64_t layer_size = 0;  ///< compressed
  uint64_t space_size = 0;
  FileTable files;
  std::vector<Checkpoint> checkpoints;  ///< ascending, the first at 0; empty for plain tar
  std::vector<util::Digest> windows;    ///< SHA-256 of each block of the layer's windows

  /// Whether any part can be inflated alone.
  [[nodiscard]] bool seekable() const;
  /// Empty when seekable.
  [[nodiscard]] std::string why_not_seekable() const;
  [[nodiscard]] size_t span_count() const { return checkpoints.size(); }
  [[nodiscard]] Span span(size_t index) const;
  /// The spans that cover `space` (clamped to the data space).
  [[nodiscard]] std::vector<Span> spans(util::ByteRange space) const;
  /// Bytes of all the layer's windows.
  [[nodiscard]] uint64_t windows_size() const;
  /// Where the windows lie, side by side, that inflating these compressed bytes needs.
  [[nodiscard]] util::ByteRange windows_for(util::ByteRange bytes) const;
  /// What inflating from the checkpoint needs, out of the bytes at its `window`. Fault::corrupt:
  /// they are not that window.
  [[nodiscard]] util::Outcome<util::Bytes> unpack(size_t checkpoint, util::ByteView window) const;
  /// `compressed` is exactly span.bytes, `window` what unpack() gave, empty where there is none.
  /// Gives span.space.length bytes, or Fault::corrupt (also where the index is not seekable and the
  /// span longer than kMaxSpan).
  [[nodiscard]] util::Outcome<util::Bytes> inflate(const Span& span, util::ByteView compressed,
                                                   util::ByteView window) const;

  /// The same bytes give the same index on every node, so that one can be held against another:
  /// whatever changes what Indexer makes is a new version.
  bool operator==(const LayerIndex&) const = default;
  /// Equal but for how the windows are packed.
  [[nodiscard]] bool says_the_same(const LayerIndex& other) const;

  /// Version 3: "swfsidx3", zstd of the body, SHA-256 of both. (In version 2 the windows were part
  /// of it; in version 1 they were plain as well, and paths did not go through symlinks.)
  [[nodiscard]] util::Bytes serialize() const;
  /// Fault::corrupt on anything odd: another version, a wrong checksum, numbers out of bounds.
  static util::Outcome<LayerIndex> parse(util::ByteView document);
  /// Whether the document is of the version that parse() reads (it may still be damaged).
  static bool recognises(util::ByteView document);
};

}  // namespace swarmfs::layer
