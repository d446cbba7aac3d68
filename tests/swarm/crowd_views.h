// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "swarm/coming_times.h"
#include "swarm/policy.h"
#include "swarm/shareholders.h"
#include "util/clock.h"

namespace swarmfs::swarm {

/// Who a node of the simulation is.
struct Self {
  uint32_t index = 0;
  std::string id;
  std::string zone;
  uint64_t weight = 0;  ///< among the shareholders
};

/// What one node of a crowd knows of the others: LayerViews and PeerTable in a small space, with
/// the same bounds.
class CrowdViews {
 public:
  CrowdViews(const Self& self, size_t chunks) : self_(self), chunks_(chunks) {}

  /// That it is there.
  void know(uint32_t peer);
  /// Says the DHT.
  void may_have(uint32_t peer);
  void wanted_by(const Self& peer, util::SteadyTime now);
  using Named = std::vector<std::pair<uint32_t, uint64_t>>;  ///< a node and its weight
  struct Told {
    std::vector<bool> here;
    std::vector<bool> has;  ///< or has it on its way from the registry
    bool wants = false;
    bool full = false;
    double link = 0;
  };
  void heard(const Self& peer, Told told, const Named& shareholders, util::SteadyTime now);
  void named_holder(uint32_t peer, uint32_t chunk);
  /// It does not answer.
  void forget(uint32_t peer);

  /// How many may be of the swarm.
  [[nodiscard]] size_t known() const { return views_.size() + unmet_.size(); }
  /// For the round `turn`, which also is for how long owners() stays as it is.
  [[nodiscard]] std::vector<uint32_t> whom_to_ask(uint64_t turn);
  [[nodiscard]] const Named& owners();
  [[nodiscard]] const std::vector<Candidate>& candidates(util::SteadyTime now);
  [[nodiscard]] uint32_t node(size_t candidate) const { return views_[candidate].peer; }
  /// Of what peers said that they have, not only on its way.
  [[nodiscard]] ChunkCopies copies(uint32_t chunk) const;
  [[nodiscard]] size_t wanting() const;
  [[nodiscard]] bool is_coming(size_t candidate, uint32_t chunk) const {
    const auto& here = views_[candidate].told.here;
    return here.empty() || !here[chunk];
  }
  /// Indices into candidates().
  [[nodiscard]] std::vector<size_t> holders(uint32_t chunk) const;
  /// Some of them, each time the next ones.
  [[nodiscard]] std::vector<uint32_t> holders_but(uint32_t chunk, uint32_t but);
  [[nodiscard]] bool holds(uint32_t peer, uint32_t chunk) const;

  void begins(uint32_t peer);
  void ends(uint32_t peer);
  [[nodiscard]] util::Duration expected(uint32_t peer, bool has_it) const;
  void first_byte(uint32_t peer, bool has_it, util::Duration took);
  /// Without a byte.
  void gave_up(uint32_t peer, bool has_it, util::Duration waited);
  /// It had no room.
  void was_busy(uint32_t peer, util::SteadyTime now);
  /// From the first byte to the last.
  void took(uint32_t peer, util::Duration took);

 private:
  struct View {
    uint32_t peer = 0;
    uint64_t weight = 0;
    util::SteadyTime heard;
    util::SteadyTime busy_at;  ///< zero: it has given since
    Told told;
  };
  [[nodiscard]] bool holds(const View& view, uint32_t chunk) const;
  View& view_of(const Self& peer, util::SteadyTime now);
  void drop(size_t place);
  void renew_owners();
  Candidate* find(uint32_t peer);
  [[nodiscard]] bool is_known(uint32_t peer) const;

  const Self& self_;
  const size_t chunks_;
  std::vector<View> views_;
  std::vector<Candidate> candidates_;             ///< of the same indices
  std::unordered_map<uint32_t, size_t> places_;   ///< in both
  std::vector<uint32_t> unmet_;                   ///< known, not in views_
  std::vector<bool> known_;                       ///< in views_ or unmet_
  std::unordered_map<uint32_t, uint64_t> named_;  ///< of unmet_: outweigh, or 1: may_have()
  Named owners_;
  uint64_t lightest_ = 0;  ///< of the shareholders
  bool owners_old_ = true;
  uint64_t named_others_ = 0;
  ComingTimes<uint32_t> coming_;
};

}  // namespace swarmfs::swarm
