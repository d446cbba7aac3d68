// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "swarm/preheat.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// A node that does what a test says with orders, and notes them.
class FakePreheats final : public Preheats {
 public:
  struct Seen {
    std::optional<util::Failure> refusal;
    std::optional<util::Failure> lost;
    PreheatState state;
    std::vector<std::string> calls;
    std::vector<PreheatOrder> orders;
  };

  util::Outcome<util::Done> begin(const PreheatOrder& order, const std::string& reference,
                                  const std::string& platform) override {
    auto seen = seen_.lock();
    seen->calls.push_back("begin " + reference + " " + platform);
    seen->orders.push_back(order);
    if (seen->refusal) return *seen->refusal;
    return util::Done{};
  }
  util::Outcome<PreheatState> look(const PreheatOrder& order) override {
    auto seen = seen_.lock();
    seen->calls.emplace_back("look");
    seen->orders.push_back(order);
    if (seen->lost) return *seen->lost;
    return seen->state;
  }
  util::Outcome<util::Done> take_back(const PreheatOrder& order) override {
    auto seen = seen_.lock();
    seen->calls.emplace_back("take back");
    seen->orders.push_back(order);
    return util::Done{};
  }

  util::Sync<Seen> seen_;
};

}  // namespace swarmfs::swarm
