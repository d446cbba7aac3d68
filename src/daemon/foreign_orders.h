// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <vector>

#include "swarm/preheat.h"

namespace swarmfs::daemon {

/// What members may order here: images of the registries that `[cluster] preheat` names. Of one of
/// its own a member could have this node pull a manifest that claims any layer. Any thread.
class ForeignOrders final : public swarm::Preheats {
 public:
  ForeignOrders(std::vector<std::string> registries, swarm::Preheats& ledger)
      : registries_(std::move(registries)), ledger_(ledger) {}

  /// Fault::denied: of another registry.
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
};

}  // namespace swarmfs::daemon
