// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/order_allowance.h"

#include <algorithm>

namespace swarmfs::daemon {

bool OrderAllowance::open(const std::string& node_id, util::SteadyTime now) const {
  const auto found = full_at_.find(node_id);
  return found == full_at_.end() || found->second - now <= (kBurst - 1) * kRefill;
}

void OrderAllowance::take(const std::string& node_id, util::SteadyTime now) {
  std::erase_if(full_at_, [&](const auto& one) { return one.second <= now; });
  full_at_.try_emplace(node_id, now).first->second += kRefill;
}

}  // namespace swarmfs::daemon
