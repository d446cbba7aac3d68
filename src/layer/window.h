// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>

#include "util/units.h"

namespace swarmfs::layer {

/// What stood before a checkpoint, kept compressed: there is one for every 256 KiB of data space.
/// Windows are the same when they unpack to the same bytes, whatever packed them.
class Window {
 public:
  static constexpr size_t kLongest = 32 * 1024;

  Window() = default;
  /// Packs `plain`, at most kLongest bytes.
  static Window of(util::ByteView plain);
  /// What packed() gave, from wherever it comes; it may be damaged.
  static Window from_packed(util::ByteView packed);

  [[nodiscard]] util::ByteView packed() const noexcept { return packed_; }
  /// Nothing when it is damaged.
  [[nodiscard]] std::optional<util::Bytes> unpack() const;
  bool operator==(const Window& other) const;

 private:
  util::Bytes packed_;  ///< empty: an empty window
};

}  // namespace swarmfs::layer
