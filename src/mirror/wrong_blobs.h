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

/// Blobs whose bytes did not match their digest when they passed. After once they are fetched anew,
/// which mends what was corrupted on its way. After twice whoever does it will go on: clients go
/// past us for a while. Any thread; a leaf.
class WrongBlobs {
 public:
  static constexpr unsigned kTries = 2;
  static constexpr std::chrono::minutes kRemembered{5};
  static constexpr size_t kMost = 4096;

  void note(const util::Digest& blob, util::SteadyTime now);
  /// So often that it is not tried again now.
  [[nodiscard]] bool has(const util::Digest& blob, util::SteadyTime now) const;
  /// Whether the document names one.
  [[nodiscard]] bool any_in(const Document& document, util::SteadyTime now) const;

 private:
  struct Seen {
    unsigned times = 0;
    util::SteadyTime last;
  };
  util::Sync<std::map<util::Digest, Seen>> seen_;
};

}  // namespace swarmfs::mirror
