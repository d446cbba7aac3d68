// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "oci/platform.h"
#include "oci/reference.h"
#include "swarm/preheat.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::daemon {

/// What this node preheats, for members and for itself, and who ordered it: orders of the same
/// image share one pull, at most two pulls run, eight are remembered. An order that is not asked
/// about for kLease ends like one that is taken back: who ordered has gone. It exists before that
/// which pulls: until connect() and from disconnect() on all orders are refused. Any thread.
class PreheatLedger final : public swarm::Preheats {
 public:
  static constexpr size_t kMostRunning = 2;
  static constexpr size_t kMostRemembered = 8;
  static constexpr size_t kMostOrders = 64;  ///< of one pull
  static constexpr std::chrono::minutes kRemembered{5};
  static constexpr std::chrono::seconds kLease{60};

  /// A pull that was started.
  struct Pull {
    std::function<swarm::PreheatState()> look;
    std::function<void()> cancel;
  };
  using StartPull = std::function<Pull(const oci::Reference&, const oci::Platform&)>;

  explicit PreheatLedger(const util::Clock& clock) : clock_(clock) {}

  void connect(StartPull start);
  /// Forgets all; returns when no call uses a pull any more.
  void disconnect();

  /// Ends what nobody asks about any more. To be called every few seconds.
  void look_over();

  util::Outcome<util::Done> begin(const swarm::PreheatOrder& order, const std::string& reference,
                                  const std::string& platform) override;
  util::Outcome<swarm::PreheatState> look(const swarm::PreheatOrder& order) override;
  util::Outcome<util::Done> take_back(const swarm::PreheatOrder& order) override;

 private:
  struct Entry {
    std::string image;                                       ///< reference and platform
    std::map<swarm::PreheatOrder, util::SteadyTime> orders;  ///< and when it was last heard
    std::shared_ptr<const Pull> pull;                        ///< null: about to start
    std::optional<util::SteadyTime> ended;
  };
  using Entries = std::list<Entry>;  ///< oldest first

  void settle();
  /// Pulls whose last order has ended by now.
  [[nodiscard]] std::vector<std::shared_ptr<const Pull>> end_leases();
  /// The new entry; nothing: it was ordered already and joined.
  util::Outcome<std::optional<Entries::iterator>> enter(const swarm::PreheatOrder& order,
                                                        const std::string& image);
  void started(Entries::iterator entry, Pull pull);
  [[nodiscard]] static Entries::iterator find(Entries& entries, const swarm::PreheatOrder& order);

  const util::Clock& clock_;
  std::shared_mutex connection_;  ///< shared while a call uses start_ or a pull
  StartPull start_;
  util::Sync<Entries> entries_;
};

}  // namespace swarmfs::daemon
