// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "chunk/source.h"
#include "swarm/bulk_meters.h"
#include "swarm/holdings.h"
#include "swarm/layer_views.h"
#include "swarm/peer_table.h"
#include "swarm/torrent_session.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::swarm {

struct BulkOptions {
  std::vector<Endpoint> listen;  ///< literal; not empty, all with the same port
  BulkRates rates;
  std::string zone;        ///< ours
  bool same_zone = false;  ///< at first, see set_same_zone()
};

/// Which layers this node exchanges by BitTorrent, and with whom: sealed ones of public
/// repositories, while they are brought in here or members ask about them; with the members that
/// say so in their news. Looks around every 250 ms, on a thread of its own. Any thread.
class BulkLane {
 public:
  /// Throws util::Error where it cannot listen. What it refers to outlives it.
  BulkLane(BulkOptions options, Holdings& holdings, PeerTable& table, LayerViews& views,
           util::Timers& timers, util::Metrics& metrics, const http::TlsMaterial& material,
           std::string ca_pem);
  ~BulkLane();
  BulkLane(const BulkLane&) = delete;
  BulkLane& operator=(const BulkLane&) = delete;

  /// Its transfers end before the lane does.
  [[nodiscard]] chunk::Source& source() { return *source_; }

  /// A member of this address and zone asks about the layer of a public repository: our port if it
  /// is exchanged here, and with that zone, else 0; it may be soon. Address: literal; empty where
  /// it is not known.
  uint16_t asked(const util::Digest& layer, const std::string& address, const std::string& zone);
  /// `ca_pem`: the one CA that issued our certificate; only who has it of the same CA meets us.
  void set_identity(const http::TlsMaterial& material, const std::string& ca_pem);
  void set_rates(BulkRates rates) { session_.set_rates(rates); }
  /// Exchanges with nobody of another zone. A change ends all connections; they are made anew.
  void set_same_zone(bool same_zone);
  /// Peers that are connected for the layer; empty: it is not exchanged here.
  [[nodiscard]] std::optional<unsigned> peers(const util::Digest& layer) const;
  /// What BitTorrent brings and takes of it.
  [[nodiscard]] LayerTraffic::Rates rates(const util::Digest& layer) const;
  /// See PeerTable::pardon.
  void pardon(const util::Digest& layer) { session_.pardon(layer); }

 private:
  struct Entry {
    std::shared_ptr<TorrentLayer> layer;
    std::function<bool()> stands;
  };
  struct State {
    std::map<util::Digest, util::SteadyTime> asked;
    std::map<util::Digest, Entry> entries;
    std::map<std::string, std::string> zones;  ///< of the addresses that may connect, or we to them
  };

  void order_look();
  void look();
  [[nodiscard]] std::set<util::Digest> wanted();
  [[nodiscard]] std::set<util::Digest> asked_lately();
  [[nodiscard]] bool is_public(const chunk::LayerRef& layer);
  /// What goes wrong with one layer is no other's.
  static void attend(const util::Digest& digest, const std::function<void()>& call);
  void add(const util::Digest& digest);
  void look_after(const util::Digest& digest, bool is_wanted);
  /// Those of other zones where there are few of ours.
  [[nodiscard]] std::vector<Endpoint> strangers_to(const TorrentLayer& layer);
  void meet(const std::string& address, const std::string& zone);
  [[nodiscard]] bool may_meet(const std::string& address) const;
  [[nodiscard]] bool is_near(const std::string& zone) const {
    return !same_zone_ || zone == options_.zone;
  }
  void drop(const util::Digest& digest);
  void on_liar(const std::string& address, const util::Digest& layer, const std::string& why);

  const BulkOptions options_;
  Holdings& holdings_;
  PeerTable& table_;
  LayerViews& views_;
  BulkMeters meters_;
  util::Sync<std::string> ca_pem_;
  std::atomic<bool> same_zone_;
  std::atomic<bool> begin_anew_{false};  ///< all torrents
  std::atomic<bool> looking_{false};
  util::Sync<State> state_;
  util::Workers deliveries_{1};
  TorrentSession session_;                  // needs meters, table, views
  std::unique_ptr<chunk::Source> source_;   // needs session, deliveries, state
  std::unique_ptr<util::Workers> lookout_;  // needs all of them
  util::Operation tick_;                    // needs lookout
};

}  // namespace swarmfs::swarm
