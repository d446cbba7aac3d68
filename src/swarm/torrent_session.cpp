// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_session.h"

#include <algorithm>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/download_priority.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/torrent_flags.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <libtorrent/torrent_info.hpp>
#include <map>
#include <set>
#include <thread>

#include "swarm/info_dict.h"
#include "swarm/torrent_disk.h"
#include "swarm/torrent_guard.h"
#include "swarm/torrent_rates.h"
#include "swarm/torrent_settings.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"

namespace swarmfs::swarm {

namespace {

constexpr int kMostConnections = 50;  ///< of one torrent
constexpr std::chrono::seconds kListenPatience{20};
constexpr std::chrono::seconds kShunned{60};
constexpr size_t kLargestPiece = 1 << 20;
constexpr lt::download_priority_t kSoon{6};

/// RFC 7919, ffdhe2048. TLS 1.3 has no use for it, but libtorrent insists.
constexpr const char* kDhParameters =
    "-----BEGIN DH PARAMETERS-----\n"
    "MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz\n"
    "+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a\n"
    "87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7\n"
    "YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi\n"
    "7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD\n"
    "ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==\n"
    "-----END DH PARAMETERS-----\n";

/// A "save path", which libtorrent wants absolute.
std::string shelf_key(const TorrentLayer& layer) {
  return "/" + layer.ref().digest.hex();
}

lt::tcp::endpoint to_tcp(const Endpoint& endpoint) {
  return {lt::make_address(endpoint.address), endpoint.port};
}

lt::piece_index_t to_index(uint32_t piece) {
  return lt::piece_index_t(static_cast<int>(piece));
}

lt::download_priority_t to_priority(std::optional<chunk::Class> cls) {
  if (!cls) return lt::dont_download;
  return *cls == chunk::Class::backfill ? lt::default_priority : kSoon;
}

}  // namespace

struct TorrentSession::State final : TorrentWatch {
  State(TorrentOptions chosen, BulkMeters& its_meters, OnLiar its_on_liar)
      : options(std::move(chosen)), meters(its_meters), on_liar(std::move(its_on_liar)) {
    lt::session_params params(torrent_settings(options), {});
    params.disk_io_constructor = [this](lt::io_context& context, const lt::settings_interface&,
                                        lt::counters&) -> std::unique_ptr<lt::disk_interface> {
      auto made = std::make_unique<TorrentDisk>(context, shelf, calls, meters);
      disk = made.get();
      return made;
    };
    session = std::make_unique<lt::session>(std::move(params), network);
    thread = std::thread([this] { network.run(); });
    try {
      await_listening();
    } catch (...) {
      stop();
      throw;
    }
    session->set_alert_notify([this] { post([this] { read_alerts(); }); });
    post([this] {
      rates.emplace(*session);
      rates->set(options.rates);
    });
  }
  ~State() override { stop(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// Returns when no callback of libtorrent's runs any more.
  void stop() {
    lt::session_proxy ending;  // dies after the network thread
    post([this, &ending] {
      rates.reset();
      ending = session->abort();
      session.reset();
    });
    thread.join();
    calls->wait();
  }

  /// What comes after the end is dropped.
  void post(std::function<void()> call) {
    boost::asio::post(network, [this, call = std::move(call)] {
      if (session) call();
    });
  }

  void await_listening() {
    const auto deadline = std::chrono::steady_clock::now() + kListenPatience;
    for (size_t ready = 0; ready < options.listen.size();) {
      session->wait_for_alert(std::chrono::milliseconds(100));
      std::vector<lt::alert*> alerts;
      session->pop_alerts(&alerts);
      for (const lt::alert* alert : alerts) {
        if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert))
          throw util::Error("the bulk lane cannot listen: " + failed->message());
        if (lt::alert_cast<lt::listen_succeeded_alert>(alert)) ++ready;
      }
      if (std::chrono::steady_clock::now() > deadline)
        throw util::Error("the bulk lane does not listen on " + options.listen.front().to_string());
    }
  }

  void read_alerts() {
    std::vector<lt::alert*> alerts;
    session->pop_alerts(&alerts);
    for (const lt::alert* alert : alerts) util::log::debug("bulk: {}", alert->message());
  }

  lt::add_torrent_params params_of(const std::shared_ptr<TorrentLayer>& layer,
                                   const std::vector<Endpoint>& peers) {
    lt::add_torrent_params params;
    const std::string text = metainfo(layer->info(), *layer->tree());
    params.ti = std::make_shared<lt::torrent_info>(
        lt::span<const char>(text.data(), static_cast<std::ptrdiff_t>(text.size())), lt::from_span);
    params.save_path = shelf_key(*layer);
    params.flags = lt::torrent_flags::paused | lt::torrent_flags::disable_dht |
                   lt::torrent_flags::disable_lsd | lt::torrent_flags::disable_pex;
    params.piece_priorities.assign(layer->pieces(), lt::dont_download);
    params.max_connections = kMostConnections;
    params.have_pieces.resize(static_cast<int>(layer->pieces()), false);
    for (uint32_t piece = 0; piece < layer->pieces(); ++piece)
      if (layer->stored().has(layer->blocks_of(piece))) {
        params.have_pieces.set_bit(to_index(piece));
        layer->tell(piece);
      }
    for (const auto& peer : peers) params.peers.push_back(to_tcp(peer));
    params.extensions.emplace_back([this, layer](const lt::torrent_handle&, lt::client_data_t) {
      return make_torrent_guard(layer, *this);
    });
    return params;
  }

  void add(const std::shared_ptr<TorrentLayer>& layer, const std::vector<Endpoint>& peers) {
    try {
      shelf[shelf_key(*layer)] = layer;
      auto handle = session->add_torrent(params_of(layer, peers));
      if (options.tls)
        handle.set_ssl_certificate_buffer(options.tls->certificate_pem, options.tls->key_pem,
                                          kDhParameters);
      // Resuming is what makes it connect at once, and not at the next tick.
      handle.resume();
      torrents[layer.get()] = {handle, !peers.empty()};
      meters.torrents.set(static_cast<double>(torrents.size()));
    } catch (const std::exception& error) {
      util::log::error("layer {} cannot take part in the bulk lane: {}",
                       layer->ref().digest.short_hex(), error.what());
    }
  }

  void remove(const std::shared_ptr<TorrentLayer>& layer) {
    const auto found = torrents.find(layer.get());
    if (found == torrents.end()) return;
    if (found->second.handle.is_valid()) session->remove_torrent(found->second.handle);
    torrents.erase(found);
    const auto kept = shelf.find(shelf_key(*layer));
    if (kept != shelf.end() && kept->second == layer) shelf.erase(kept);
    meters.torrents.set(static_cast<double>(torrents.size()));
  }

  void connect(const TorrentLayer& layer, const std::vector<Endpoint>& peers) {
    const auto found = torrents.find(&layer);
    if (found == torrents.end()) return;
    auto& [handle, boosted] = found->second;
    for (const auto& peer : peers)
      if (!is_banned(peer.address) && !layer.availability.is_connected(peer.address))
        handle.connect_peer(to_tcp(peer));
    if (std::exchange(boosted, true)) return;
    handle.pause();
    handle.resume();
  }

  void inject(const TorrentLayer& layer, const std::vector<uint32_t>& pieces) {
    const auto found = torrents.find(&layer);
    if (found == torrents.end()) return;
    disk->set_injecting(true);
    for (const uint32_t piece : pieces)
      if (!layer.told(piece)) found->second.handle.add_piece(to_index(piece), nothing.get(), {});
    disk->set_injecting(false);
  }

  void refresh(const std::shared_ptr<TorrentLayer>& layer, const std::vector<uint32_t>& pieces) {
    const auto found = torrents.find(layer.get());
    if (found == torrents.end()) return;
    for (const uint32_t piece : pieces) {
      found->second.handle.piece_priority(to_index(piece), to_priority(layer->awaited(piece)));
      if (layer->told(piece)) give_from_store(layer, piece);
    }
  }

  bool is_banned(const std::string& address) const override {
    const auto shun = shunned.find(address);
    return banned.contains(address) || (options.may_meet && !options.may_meet(address)) ||
           (shun != shunned.end() && std::chrono::steady_clock::now() < shun->second);
  }

  /// What was asked for before is forgotten in libtorrent's start.
  void started(const std::shared_ptr<TorrentLayer>& layer) override {
    post([this, layer] { refresh(layer, layer->awaited()); });
  }

  void lied(const TorrentLayer& layer, const std::string& address,
            const std::string& why) override {
    meters.lies.add();
    banned[address].insert(layer.ref().digest);
    util::log::error("bulk peer {} is banned: layer {}: {}", address,
                     layer.ref().digest.short_hex(), why);
    on_liar(address, layer.ref().digest, why);
  }

  void flooded(const std::string& address) override {
    util::log::warning("bulk peer {} floods us with requests and is not heard for {} s", address,
                       kShunned.count());
    shunned[address] = std::chrono::steady_clock::now() + kShunned;
  }

  void pardon(const util::Digest& layer) {
    for (auto entry = banned.begin(); entry != banned.end();) {
      entry->second.erase(layer);
      entry = entry->second.empty() ? banned.erase(entry) : std::next(entry);
    }
  }

  struct Torrent {
    lt::torrent_handle handle;
    bool boosted = false;  ///< it had peers to connect to when it was resumed
  };

  TorrentOptions options;  ///< network thread, as all below
  BulkMeters& meters;
  const OnLiar on_liar;
  lt::io_context network{1};
  TorrentShelf shelf;
  const std::shared_ptr<StoreCalls> calls = std::make_shared<StoreCalls>();
  TorrentDisk* disk = nullptr;  ///< the session's
  std::map<const TorrentLayer*, Torrent> torrents;
  std::map<std::string, std::set<util::Digest>> banned;  ///< addresses, and what they lied about
  std::map<std::string, std::chrono::steady_clock::time_point> shunned;  ///< until then
  /// What add_piece() is given: the disk does not look at it.
  const std::unique_ptr<char[]> nothing{new char[kLargestPiece]};
  std::unique_ptr<lt::session> session;
  std::optional<TorrentRates> rates;  ///< from the first call that is posted on
  std::thread thread;
};

TorrentSession::TorrentSession(TorrentOptions options, BulkMeters& meters, OnLiar on_liar)
    : state_(std::make_unique<State>(std::move(options), meters, std::move(on_liar))) {}
TorrentSession::~TorrentSession() = default;

void TorrentSession::set_rates(BulkRates rates) {
  state_->post([this, rates] { state_->rates->set(rates); });
}

void TorrentSession::meet(std::string address) {
  state_->post([this, address = std::move(address)] { state_->rates->meet(address); });
}

void TorrentSession::set_tls(const http::TlsMaterial& material) {
  state_->post([this, material] { state_->options.tls = material; });
}

void TorrentSession::add(std::shared_ptr<TorrentLayer> layer, std::vector<Endpoint> peers) {
  state_->post(
      [this, layer = std::move(layer), peers = std::move(peers)] { state_->add(layer, peers); });
}

void TorrentSession::remove(std::shared_ptr<TorrentLayer> layer) {
  state_->post([this, layer = std::move(layer)] { state_->remove(layer); });
}

void TorrentSession::connect(std::shared_ptr<TorrentLayer> layer, std::vector<Endpoint> peers) {
  state_->post([this, layer = std::move(layer), peers = std::move(peers)] {
    state_->connect(*layer, peers);
  });
}

void TorrentSession::inject(std::shared_ptr<TorrentLayer> layer, std::vector<uint32_t> pieces) {
  state_->post([this, layer = std::move(layer), pieces = std::move(pieces)] {
    state_->inject(*layer, pieces);
  });
}

void TorrentSession::refresh(std::shared_ptr<TorrentLayer> layer, std::vector<uint32_t> pieces) {
  state_->post([this, layer = std::move(layer), pieces = std::move(pieces)] {
    state_->refresh(layer, pieces);
  });
}

void TorrentSession::pardon(const util::Digest& layer) {
  state_->post([this, layer] { state_->pardon(layer); });
}

}  // namespace swarmfs::swarm
