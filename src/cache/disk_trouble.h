// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "util/clock.h"
#include "util/error.h"
#include "util/metrics.h"
#include "util/sync.h"

namespace swarmfs::cache {

/// What the cache's disk refuses to do. It is logged once per episode, which lasts from a first
/// failure until nothing failed for kCalm, however many follow; a full disk and a broken one are
/// episodes apart. Any thread.
class DiskTrouble {
 public:
  static constexpr std::chrono::seconds kCalm{60};

  DiskTrouble(std::filesystem::path directory, util::Metrics& metrics);

  static bool is_full(int code) { return code == ENOSPC || code == EDQUOT; }

  void failed(const util::SysError& error, util::SteadyTime now = std::chrono::steady_clock::now());
  /// Ends the episodes that are over; to be called now and then.
  void look(util::SteadyTime now = std::chrono::steady_clock::now());
  /// What is wrong, and the way out; empty: nothing.
  [[nodiscard]] std::string text() const;

 private:
  struct Episode {
    std::string text;  ///< empty: none
    util::SteadyTime last;
  };
  [[nodiscard]] std::string describe(const util::SysError& error) const;

  const std::filesystem::path directory_;
  util::Metrics::Counter& failures_;
  util::Sync<std::array<Episode, 2>> episodes_;  ///< of a broken disk, of a full one
};

}  // namespace swarmfs::cache
