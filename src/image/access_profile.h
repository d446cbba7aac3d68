// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <vector>

#include "chunk/block.h"
#include "fetch/touch_log.h"
#include "util/outcome.h"
#include "util/units.h"

namespace swarmfs::image {

/// In which order the parts of an image were first read: learned while it runs, and followed by the
/// next one who mounts it, so that the bytes are there before they are asked for. A hint: a wrong
/// one costs order, never bytes, since all of the image is fetched in the end.
struct AccessProfile {
  struct Entry {
    uint32_t layer = 0;  ///< of the manifest, bottom first
    util::ByteRange bytes;
    bool operator==(const Entry&) const = default;
  };
  /// So much of an image is worth an order of its own.
  static constexpr uint64_t kMostBytes = 256 << 20;

  std::vector<Entry> entries;

  /// From what was noted of each layer; the parts of `earlier` that nobody touched now come last.
  static AccessProfile of(const std::vector<std::vector<fetch::Touch>>& touches,
                          const std::vector<uint64_t>& layer_sizes,
                          const AccessProfile& earlier = {});

  /// JSON: {"version":1,"entries":[[layer,offset,length],…]}.
  [[nodiscard]] std::string to_json() const;
  /// Fault::corrupt: unreadable, or not of an image with layers of these sizes.
  static util::Outcome<AccessProfile> parse(std::string_view text,
                                            const std::vector<uint64_t>& layer_sizes);
};

}  // namespace swarmfs::image
