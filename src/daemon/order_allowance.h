// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>

#include "util/clock.h"

namespace swarmfs::daemon {

/// How often one member may have us begin a preheat: kBurst at once, then one every kRefill; each
/// costs a registry at least a manifest, also when it is taken back at once. A value; the time is
/// told to it.
class OrderAllowance {
 public:
  static constexpr int kBurst = 8;
  static constexpr std::chrono::seconds kRefill{10};

  [[nodiscard]] bool open(const std::string& node_id, util::SteadyTime now) const;
  void take(const std::string& node_id, util::SteadyTime now);
  /// Members that are remembered: those that have not all of it.
  [[nodiscard]] size_t size() const { return full_at_.size(); }

 private:
  std::map<std::string, util::SteadyTime> full_at_;  ///< by node id
};

}  // namespace swarmfs::daemon
