// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstddef>

#include "util/clock.h"

namespace swarmfs::http {

/// How much bulk may be on its way to one client at once: what the path holds, and little more, so
/// that what a reader waits for finds no long queue before it, ours or the network's. It follows
/// the delay, as LEDBAT does (RFC 6817), for all connections to that client together. Pure.
class BulkWindow {
 public:
  /// What a connection to the client takes for a round trip.
  struct Path {
    util::Duration now{};
    util::Duration least{};  ///< without a queue, as far as it saw
    size_t segment = 1448;   ///< its largest, in bytes
  };

  /// From a connection on which bulk is being sent. `full`: more would be sent if it might be.
  /// Counts once per round trip, at most once per millisecond.
  void note(const Path& path, bool full, util::SteadyTime now);

  [[nodiscard]] size_t bytes() const { return bytes_; }
  /// Over how many connections at once, at least one.
  [[nodiscard]] size_t connections() const;
  /// Of each of these, in bytes.
  [[nodiscard]] size_t share() const { return bytes_ / connections(); }

 private:
  util::Duration least(const Path& path, util::SteadyTime now);

  size_t bytes_ = 1 << 20;
  util::SteadyTime next_{};
  /// The least of all connections, in this minute and in the one before: a new connection knows no
  /// way without the queue that is there already.
  util::Duration least_ = util::Duration::max(), least_before_ = util::Duration::max();
  util::SteadyTime minute_ends_{};
};

}  // namespace swarmfs::http
