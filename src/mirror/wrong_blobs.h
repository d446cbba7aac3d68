// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>

#include "mirror/document.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// Blobs whose bytes did not match their digest when they passed. Whoever corrupts them, on the way
/// or at the registry, may do so again: clients go past us for a while. Any thread; a leaf.
class WrongBlobs {
 public:
  static constexpr std::chrono::minutes kRemembered{5};
  static constexpr size_t kMost = 4096;

  void note(const util::Digest& blob, util::SteadyTime now);
  [[nodiscard]] bool has(const util::Digest& blob, util::SteadyTime now) const;
  /// Whether the document names one.
  [[nodiscard]] bool any_in(const Document& document, util::SteadyTime now) const;

 private:
  util::Sync<std::map<util::Digest, util::SteadyTime>> seen_;
};

}  // namespace swarmfs::mirror
