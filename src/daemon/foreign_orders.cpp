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
  return ledger_.begin(order, reference, platform);
}

}  // namespace swarmfs::daemon
