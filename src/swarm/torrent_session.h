// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/tls_material.h"
#include "swarm/bulk_meters.h"
#include "swarm/bulk_rates.h"
#include "swarm/endpoint.h"
#include "swarm/torrent_layer.h"

namespace swarmfs::swarm {

struct TorrentOptions {
  std::vector<Endpoint> listen;  ///< literal; not empty
  /// Empty: without TLS. With it only torrents whose info dict names a CA can be added, and only
  /// who has a certificate of that CA can connect.
  std::optional<http::TlsMaterial> tls;
  BulkRates rates;
  /// Whether connections with the address may stand. Network thread; must be short. Empty: all may.
  std::function<bool(const std::string& address)> may_meet{};
};

/// libtorrent's session of the bulk lane, on a network thread of its own: exchanges pieces with
/// the peers that it is told of, and with nobody else (no DHT, PEX, LSD, trackers; no uTP). Pieces
/// are downloaded only while somebody awaits them. Any thread; no call waits for the network.
class TorrentSession {
 public:
  /// A peer sent a block of the layer that is wrong; its connections are ended from now on. On the
  /// network thread; must be short.
  using OnLiar = std::function<void(const std::string& address, const util::Digest& layer,
                                    const std::string& why)>;

  /// Throws util::Error where it cannot listen. `meters` outlives it.
  TorrentSession(TorrentOptions options, BulkMeters& meters, OnLiar on_liar);
  ~TorrentSession();
  TorrentSession(const TorrentSession&) = delete;
  TorrentSession& operator=(const TorrentSession&) = delete;

  void set_rates(BulkRates rates);
  /// Who may connect soon, or we to it; see TorrentRates::meet.
  void meet(std::string address);
  /// For torrents that are added from now on.
  void set_tls(const http::TlsMaterial& material);

  /// What the store has of it now is offered. A digest can be there once at a time.
  void add(std::shared_ptr<TorrentLayer> layer, std::vector<Endpoint> peers);
  /// Ends all its connections.
  void remove(std::shared_ptr<TorrentLayer> layer);
  /// Peers of the layer; known and connected ones are no harm.
  void connect(std::shared_ptr<TorrentLayer> layer, std::vector<Endpoint> peers);
  /// Pieces that are in the store now, whoever brought them. May do nothing while the torrent
  /// starts: say it again until they are told().
  void inject(std::shared_ptr<TorrentLayer> layer, std::vector<uint32_t> pieces);
  /// Who awaits these pieces has changed.
  void refresh(std::shared_ptr<TorrentLayer> layer, std::vector<uint32_t> pieces);
  /// Who lied about the layer may connect again: what was claimed of it was the lie.
  void pardon(const util::Digest& layer);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::swarm
