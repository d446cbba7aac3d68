// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <cstdint>

#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::http {

/// The answers of a server, on all its threads, that somebody waits for and that are not sent yet:
/// bulk is not written meanwhile. For 20 ms at a time, which is more than a client needs that takes
/// its answer, and four fifths of all time at most: bulk goes on beside any number of them. One
/// that is stuck has the hold in which it began, and no part in those to come. Any thread.
class UrgentAnswers {
 public:
  using Hold = uint64_t;

  /// For end().
  Hold begin(util::SteadyTime now) {
    auto all = all_.lock();
    if (now < all->until) {
      ++all->count;
      return all->number;
    }
    all->count = 1;
    all->since = std::max(now, all->next);
    all->until = all->since + kHold;
    all->next = all->until + kHold / 4;
    return ++all->number;
  }
  /// True: it was the last of its hold, which is over.
  bool end(Hold hold, util::SteadyTime now) {
    auto all = all_.lock();
    if (hold != all->number || --all->count > 0) return false;
    if (now < all->since) {
      all->until = now;
      all->next = all->since;
    } else if (now < all->until) {
      all->until = now;
      all->next = now + (now - all->since) / 4;
    }
    return true;
  }
  [[nodiscard]] bool hold_bulk(util::SteadyTime now) const {
    auto all = all_.lock();
    return all->since <= now && now < all->until;
  }
  /// When the last hold ends, or has.
  [[nodiscard]] util::SteadyTime until() const { return all_.lock()->until; }

 private:
  static constexpr std::chrono::milliseconds kHold{20};
  struct All {
    Hold number = 0;
    unsigned count = 0;             ///< of the answers that began in it
    util::SteadyTime since, until;  ///< of the hold, which may lie ahead
    util::SteadyTime next;          ///< when the one after it may begin
  };
  util::Sync<All> all_;
};

}  // namespace swarmfs::http
