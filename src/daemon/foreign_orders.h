// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <vector>

#include "daemon/order_allowance.h"
#include "swarm/preheat.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::daemon {

/// What members may order here: images of the registries that `[cluster] preheat` names. Of one of
/// its own a member could have this node pull a manifest that claims any layer. And not too often
/// (OrderAllowance). Any thread.
class ForeignOrders final : public swarm::Preheats {
 public:
  /// The others outlive it.
  ForeignOrders(std::vector<std::string> registries, swarm::Preheats& ledger,
                const util::Clock& clock)
      : registries_(std::move(registries)), ledger_(ledger), clock_(clock) {}

  /// Fault::denied: of another registry. Fault::unavailable: also where the member ordered too
  /// much.
  util::Outcome<util::Done> begin(const swarm::PreheatOrder& order, const std::string& reference,
                                  const std::string& platform) override;
  util::Outcome<swarm::PreheatState> look(const swarm::PreheatOrder& order) override {
    return ledger_.look(order);
  }
  util::Outcome<util::Done> take_back(const swarm::PreheatOrder& order) override {
    return ledger_.take_back(order);
  }

 private:
  const std::vector<std::string> registries_;
  swarm::Preheats& ledger_;
  const util::Clock& clock_;
  util::Sync<OrderAllowance> allowance_;
};

}  // namespace swarmfs::daemon
