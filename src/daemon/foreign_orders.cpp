// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/foreign_orders.h"

#include <algorithm>

#include "oci/reference.h"

namespace swarmfs::daemon {

util::Outcome<util::Done> ForeignOrders::begin(const swarm::PreheatOrder& order,
                                               const std::string& reference,
                                               const std::string& platform) {
  const auto parsed = oci::Reference::parse(reference);
  if (!parsed) return parsed.failure();
  if (std::find(registries_.begin(), registries_.end(), parsed->registry) == registries_.end())
    return util::Failure{util::Fault::denied, "this node preheats nothing of " + parsed->registry +
                                                  " for others: its [cluster] preheat names no "
                                                  "such registry"};
  if (ledger_.look(order)) return util::Done{};  // said again
  if (!allowance_.lock()->open(order.node_id, clock_.now()))
    return util::Failure{util::Fault::unavailable, "busy: too many orders of one node; try later"};
  auto begun = ledger_.begin(order, reference, platform);
  if (begun) allowance_.lock()->take(order.node_id, clock_.now());
  return begun;
}

}  // namespace swarmfs::daemon
