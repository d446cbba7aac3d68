// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>

#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::fetch {

/// What requests for bulk take at one registry: where they take long here they do for others, who
/// are not late then. Thread-safe; a leaf.
class RequestTimes {
 public:
  using Number = uint64_t;

  Number begins(util::SteadyTime now);
  /// `whole`: all of it came.
  void ends(Number number, bool whole, util::SteadyTime now);
  /// As of late, or as long as one takes already that is on its way; zero: not known.
  [[nodiscard]] util::Duration takes(util::SteadyTime now) const;
  /// How long others may take at least before they are late: twice that, at most 2 min.
  [[nodiscard]] util::Duration patience(util::SteadyTime now) const;

 private:
  struct State {
    Number last = 0;
    std::map<Number, util::SteadyTime> under_way{};  ///< since when: the first is the eldest
    util::Duration took{};                           ///< smoothed: each new one weighs a fifth
    util::SteadyTime ended{};
  };
  util::Sync<State> state_;
};

}  // namespace swarmfs::fetch
