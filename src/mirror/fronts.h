// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <string>

#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::mirror {

class FrontStream;

/// Places of FrontStreams at their registries: each holds a connection for as long as its client
/// takes, and what else the registry is asked needs some, too. Where more want a place, who has
/// stood still longest loses his. Any thread.
class Fronts {
 public:
  static constexpr size_t kMost = 12;               ///< at once, of one registry
  static constexpr std::chrono::seconds kStill{2};  ///< so long before a place is lost

  /// False: there was none until `until`. True: leave() must follow.
  [[nodiscard]] bool enter(const std::string& registry, FrontStream& front, util::SteadyTime until);
  /// Whether it has a place still or not.
  void leave(const std::string& registry, FrontStream& front);

 private:
  util::Sync<std::map<std::string, std::list<FrontStream*>>> places_;
  std::condition_variable left_;
};

}  // namespace swarmfs::mirror
