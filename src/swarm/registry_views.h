// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>

#include "swarm/registry_words.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::swarm {

/// How long members that say "the registry told me to wait" are believed, all of them together: at
/// most a minute, and then not again for four times as long as they were (by then it has told us
/// too, if it is so). Liars cost bulk a fifth of its time at that registry, and faults nothing.
/// Pure.
class HeldWord {
 public:
  static constexpr std::chrono::seconds kLongest{60};

  void heard(util::Duration held, util::SteadyTime now);
  [[nodiscard]] util::SteadyTime until() const { return until_; }

 private:
  util::SteadyTime from_{}, until_{};
};

/// What members say of the registries that they ask. Any thread; a leaf: calls nobody.
class RegistryViews {
 public:
  /// What a node said counts for so long.
  static constexpr std::chrono::seconds kBelieved{10};
  /// Nodes that are remembered, and registries of each; of more the ones that are heard first.
  static constexpr size_t kMostNodes = 4096, kMostOfOne = 64;
  /// Registries that told somebody to wait; of more the ones that are heard of first.
  static constexpr size_t kMostHeld = 1024;

  /// What a node does not mention it does not ask.
  void heard(const std::string& node_id, const RegistryWords& words, util::SteadyTime now);

  struct Sum {
    unsigned asking = 0;            ///< other nodes
    util::SteadyTime held_until{};  ///< by the word of any
  };
  [[nodiscard]] Sum of(const util::Digest& name, util::SteadyTime now) const;

 private:
  struct Said {
    bool asks = false;
    util::SteadyTime held_until{};
    util::SteadyTime heard{};
  };
  using Node = std::map<util::Digest, Said>;
  struct State {
    std::map<std::string, Node> nodes;
    std::map<util::Digest, HeldWord> held;  ///< by registry
    util::SteadyTime tidied{};
  };

  static void forget_old(State& state, util::SteadyTime now);
  static void weigh(State& state, const util::Digest& name, util::SteadyTime now);

  util::Sync<State> state_;
};

}  // namespace swarmfs::swarm
