// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "swarm/demand_fixture.h"
#include "swarm/peer_source.h"

namespace swarmfs::swarm {

using chunk::Class;
using util::ByteRange;
using util::Fault;

class PeerSourceTest : public DemandTest {
 protected:
  /// A transfer, and what came of it.
  class Fetch {
   public:
    Fetch(chunk::Source& source, const chunk::LayerRef& layer, ByteRange range, Class cls,
          std::function<void(Fetch&)> on_data = {}, std::function<bool()> congested = {},
          util::SteadyTime deadline = util::SteadyTime::max(),
          std::function<util::Duration()> relay_patience = {}) {
      chunk::FetchContext context;
      context.relay_patience = std::move(relay_patience);
      context.congested = std::move(congested);
      context.cls = cls;
      context.deadline = deadline;
      auto made = source.fetch(
          layer, range, context,
          [this, on_data](util::ByteView bytes) {
            seen_.lock()->bytes += util::as_text(bytes);
            if (on_data) on_data(*this);
          },
          [this](util::Outcome<util::Done> outcome) {
            seen_.lock()->outcomes.push_back(std::move(outcome));
            changed_.notify_all();
          });
      *transfer_.lock() = std::move(made);
    }
    /// How it ended; the failure's fault where it did not end well.
    std::optional<Fault> fault() {
      auto seen = seen_.lock();
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      if (!seen.wait_until(changed_, until, [&] { return !seen->outcomes.empty(); })) {
        ADD_FAILURE() << "it never ends";
        return {};
      }
      const auto& outcome = seen->outcomes.front();
      return outcome ? std::nullopt : std::optional(outcome.failure().fault);
    }
    void cancel() {
      auto gone = std::move(*transfer_.lock());
      gone.reset();
    }
    std::string bytes() { return seen_.lock()->bytes; }
    size_t ends() { return seen_.lock()->outcomes.size(); }
    std::string supplier() { return (*transfer_.lock())->supplier(); }
    bool told_to_wait() { return (*transfer_.lock())->told_to_wait(); }

   private:
    struct Seen {
      std::string bytes;
      std::vector<util::Outcome<util::Done>> outcomes;
    };
    util::Sync<Seen> seen_;
    std::condition_variable changed_;
    util::Sync<std::unique_ptr<chunk::Transfer>> transfer_;
  };

  std::unique_ptr<Fetch> fetch(ByteRange range, Class cls = Class::pull,
                               std::function<void(Fetch&)> on_data = {}) {
    return std::make_unique<Fetch>(source_, layer_, range, cls, std::move(on_data));
  }
  std::unique_ptr<Fetch> fetch_for(util::Duration time) {
    return std::make_unique<Fetch>(source_, layer_, kRange, Class::pull,
                                   std::function<void(Fetch&)>(), std::function<bool()>(),
                                   std::chrono::steady_clock::now() + time);
  }
  static std::string name_of(const Peer& peer, const std::string& node) {
    return at(peer).to_string() + " (node " + node + ")";
  }
  const std::shared_ptr<util::LinkGauge> link_ = std::make_shared<util::LinkGauge>();
  PeerSource source_{{"here", [] { return std::string("me"); }, true, 0,
                      [](const chunk::LayerRef&) {}, nullptr, 0, 0, link_},
                     client_,
                     table_,
                     views_,
                     timers_,
                     metrics_};
  static constexpr ByteRange kRange{256 * 1024, 128 * 1024};
};

}  // namespace swarmfs::swarm
