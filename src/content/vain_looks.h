// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>

#include "util/clock.h"
#include "util/digest.h"
#include "util/sync.h"

namespace swarmfs::content {

/// Short looks for a claim: how many there are at once, and which were in vain a short while ago.
/// Any thread; a leaf.
class VainLooks {
 public:
  static constexpr std::chrono::seconds kMemory{10};
  static constexpr unsigned kMost = 16;  ///< at once

  /// False: not now. True: end() must follow.
  [[nodiscard]] bool begin(const util::Digest& layer, util::SteadyTime now);
  void end(const util::Digest& layer, bool in_vain, util::SteadyTime now);

 private:
  struct State {
    unsigned looks = 0;
    std::map<util::Digest, util::SteadyTime> vain;
  };
  util::Sync<State> state_;
};

}  // namespace swarmfs::content
