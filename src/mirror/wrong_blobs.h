// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>
#include <string>

#include "util/clock.h"
#include "util/digest.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// Blobs of which the bytes that came for a repository did not match their digest. After once they
/// are fetched anew, which mends what was corrupted on its way. After twice whoever does it will go
/// on: clients of that repository go past us for a while. Any thread; a leaf.
class WrongBlobs {
 public:
  static constexpr unsigned kTries = 2;
  static constexpr std::chrono::minutes kRemembered{5};
  static constexpr size_t kMost = 4096;

  /// `since`: when the bytes began to be read; those that were dropped after that count once.
  void note(const std::string& repository, const util::Digest& blob, util::SteadyTime since,
            util::SteadyTime now);
  void came_right(const std::string& repository, const util::Digest& blob);
  /// So often that it is not tried again now.
  [[nodiscard]] bool has(const std::string& repository, const util::Digest& blob,
                         util::SteadyTime now) const;
  /// Whether it is worth asking.
  [[nodiscard]] bool any(util::SteadyTime now) const;

 private:
  struct Seen {
    unsigned times = 0;
    util::SteadyTime last;
  };
  using Key = std::pair<std::string, util::Digest>;
  util::Sync<std::map<Key, Seen>> seen_;
};

}  // namespace swarmfs::mirror
