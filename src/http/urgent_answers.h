// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>

#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::http {

/// The answers of a server, on all its threads, that somebody waits for and that are not sent yet:
/// bulk is not written meanwhile. For 20 ms at a time, which is more than a client needs that takes
/// its answer, and four fifths of all time at most: bulk goes on beside one that is stuck, and
/// beside any number. Any thread.
class UrgentAnswers {
 public:
  void begin(util::SteadyTime now) {
    auto all = all_.lock();
    ++all->count;
    if (now < all->until) return;
    all->since = std::max(now, all->next);
    all->until = all->since + kHold;
    all->next = all->until + kHold / 4;
  }
  /// True: it was the last of them.
  bool end(util::SteadyTime now) {
    auto all = all_.lock();
    if (--all->count > 0) return false;
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

 private:
  static constexpr std::chrono::milliseconds kHold{20};
  struct All {
    unsigned count = 0;
    util::SteadyTime since, until;  ///< of the hold, which may lie ahead
    util::SteadyTime next;          ///< when the one after it may begin
  };
  util::Sync<All> all_;
};

}  // namespace swarmfs::http
