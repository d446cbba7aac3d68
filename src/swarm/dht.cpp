// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/dht.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/disabled_disk_io.hpp>
#include <libtorrent/kademlia/dht_storage.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/session_stats.hpp>
#include <libtorrent/settings_pack.hpp>
#include <random>
#include <set>
#include <thread>

#include "swarm/announcements.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::swarm {
namespace {

using Shelf = util::Sync<Announcements>;

/// Peers in one answer, so that it fits a datagram that is not fragmented.
constexpr size_t kAnswer4 = 100;
constexpr size_t kAnswer6 = 40;

util::SteadyTime now() {
  return std::chrono::steady_clock::now();
}

DhtKey to_key(const lt::sha1_hash& hash) {
  DhtKey key;
  std::memcpy(key.data(), hash.data(), key.size());
  return key;
}

lt::sha1_hash to_hash(const DhtKey& key) {
  return lt::sha1_hash(reinterpret_cast<const char*>(key.data()));
}

std::optional<Endpoint> to_endpoint(const lt::address& address, uint16_t port) {
  const auto literal = canonical_address(address.to_string());
  if (!literal || port == 0) return {};
  return Endpoint{*literal, port};
}

/// BEP 5: 4 or 16 bytes of address and two of port, in network order.
std::string compact(const Endpoint& endpoint) {
  const lt::address address = lt::make_address(endpoint.address);
  std::string out;
  const auto append = [&](const auto& bytes) { out.assign(bytes.begin(), bytes.end()); };
  if (address.is_v4())
    append(address.to_v4().to_bytes());
  else
    append(address.to_v6().to_bytes());
  out += static_cast<char>(endpoint.port >> 8);
  out += static_cast<char>(endpoint.port & 0xff);
  return out;
}

/// What libtorrent's own storage does, and no more than we need of it: ours is bounded per key,
/// forgets sooner, and can be read by this node itself. In a cluster of two each keeps what the
/// other announced, and a look-up asks only others.
class Storage final : public lt::dht::dht_storage_interface {
 public:
  explicit Storage(std::shared_ptr<Shelf> shelf) : shelf_(std::move(shelf)) {}

#if TORRENT_ABI_VERSION == 1
  size_t num_torrents() const override {
    return shelf_->lock()->keys();
  }
  size_t num_peers() const override {
    return shelf_->lock()->peers();
  }
#endif
  void update_node_ids(const std::vector<lt::dht::node_id>&) override {}

  bool get_peers(const lt::sha1_hash& hash, bool, bool scrape, const lt::address& requester,
                 lt::entry& answer) const override {
    const bool ipv6 = requester.is_v6();
    const auto peers = shelf_->lock()->of(to_key(hash), ipv6, ipv6 ? kAnswer6 : kAnswer4, now());
    if (!scrape && !peers.empty())
      for (const Endpoint& peer : peers) answer["values"].list().emplace_back(compact(peer));
    return false;
  }

  void announce_peer(const lt::sha1_hash& hash, const lt::tcp::endpoint& from, lt::string_view,
                     bool) override {
    if (const auto peer = to_endpoint(from.address(), from.port()))
      shelf_->lock()->add(to_key(hash), *peer, now());
  }

  bool get_immutable_item(const lt::sha1_hash&, lt::entry&) const override {
    return false;
  }
  void put_immutable_item(const lt::sha1_hash&, lt::span<const char>, const lt::address&) override {
  }
  bool get_mutable_item_seq(const lt::sha1_hash&, lt::dht::sequence_number&) const override {
    return false;
  }
  bool get_mutable_item(const lt::sha1_hash&, lt::dht::sequence_number, bool,
                        lt::entry&) const override {
    return false;
  }
  void put_mutable_item(const lt::sha1_hash&, lt::span<const char>, const lt::dht::signature&,
                        lt::dht::sequence_number, const lt::dht::public_key&, lt::span<const char>,
                        const lt::address&) override {}
  int get_infohashes_sample(lt::entry&) override {
    return 0;
  }

  void tick() override {
    shelf_->lock()->forget_old(now());
  }

  lt::dht::dht_storage_counters counters() const override {
    lt::dht::dht_storage_counters counters;
    counters.reset();
    auto shelf = shelf_->lock();
    counters.torrents = static_cast<int32_t>(shelf->keys());
    counters.peers = static_cast<int32_t>(shelf->peers());
    return counters;
  }

 private:
  std::shared_ptr<Shelf> shelf_;
};

std::string listen_interfaces(const std::vector<Endpoint>& listen) {
  std::string text;
  for (const Endpoint& endpoint : listen) text += (text.empty() ? "" : ",") + endpoint.to_string();
  return text;
}

/// What confines it: each switch of libtorrent that would talk to strangers is off.
void confine(lt::settings_pack& settings) {
  using Pack = lt::settings_pack;
  for (const int off :
       {Pack::enable_lsd, Pack::enable_upnp, Pack::enable_natpmp, Pack::enable_incoming_tcp,
        Pack::enable_outgoing_tcp, Pack::enable_incoming_utp, Pack::enable_outgoing_utp,
        Pack::enable_ip_notifier, Pack::listen_system_port_fallback})
    settings.set_bool(off, false);
  settings.set_str(Pack::dht_bootstrap_nodes, "");
  settings.set_int(Pack::max_retry_port_bind, 0);
  settings.set_str(Pack::user_agent, "");
}

/// libtorrent guards a DHT of strangers; in a data centre its rules throw out most of the nodes.
void tune(lt::settings_pack& settings) {
  using Pack = lt::settings_pack;
  for (const int off :
       {Pack::dht_restrict_routing_ips, Pack::dht_restrict_search_ips, Pack::dht_enforce_node_id,
        Pack::dht_prefer_verified_node_ids, Pack::dht_ignore_dark_internet})
    settings.set_bool(off, false);
  settings.set_int(Pack::dht_upload_rate_limit, 1'000'000);
  settings.set_int(Pack::dht_block_ratelimit, 1'000);
}

lt::session_params session_params(const std::vector<Endpoint>& listen,
                                  std::shared_ptr<Shelf> shelf) {
  using Pack = lt::settings_pack;
  lt::settings_pack settings;
  confine(settings);
  tune(settings);
  settings.set_bool(Pack::enable_dht, true);
  settings.set_str(Pack::listen_interfaces, listen_interfaces(listen));
  settings.set_int(Pack::alert_mask, static_cast<int>(static_cast<uint32_t>(
                                         lt::alert_category::status | lt::alert_category::error |
                                         lt::alert_category::dht_operation)));
  settings.set_int(Pack::alert_queue_size, 10'000);
  lt::session_params params(std::move(settings), {});
  params.disk_io_constructor = lt::disabled_disk_io_constructor;
  params.dht_storage_constructor = [shelf](const lt::settings_interface&) {
    return std::make_unique<Storage>(shelf);
  };
  return params;
}

DhtKey random_key() {
  std::random_device random;
  DhtKey key;
  for (std::byte& byte : key) byte = static_cast<std::byte>(random());
  return key;
}

}  // namespace

struct Dht::State {
  /// What the thread is woken for.
  struct Inbox {
    bool alerts = false;
    bool stopping = false;
    std::deque<DhtKey> asked;
  };

  State(const std::vector<Endpoint>& listen, OnFound on_found_) : on_found(std::move(on_found_)) {
    session = std::make_unique<lt::session>(session_params(listen, shelf));
    session->set_alert_notify([this] {
      inbox.lock()->alerts = true;
      woken.notify_one();
    });
    await_listening(listen);
    thread = std::thread([this] { run(); });
  }

  ~State() {
    inbox.lock()->stopping = true;
    woken.notify_one();
    if (thread.joinable()) thread.join();
    session->set_alert_notify([] {});
    session.reset();
  }

  void await_listening(const std::vector<Endpoint>& listen) {
    const util::SteadyTime deadline = now() + std::chrono::seconds(5);
    std::set<lt::address> ready;
    while (ready.size() < listen.size()) {
      session->wait_for_alert(std::chrono::milliseconds(100));
      std::vector<lt::alert*> alerts;
      session->pop_alerts(&alerts);
      for (lt::alert* alert : alerts) {
        if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert))
          throw util::Error("the DHT cannot listen: " + failed->message());
        const auto* opened = lt::alert_cast<lt::listen_succeeded_alert>(alert);
        if (opened && opened->socket_type == lt::socket_type_t::utp) ready.insert(opened->address);
      }
      if (now() > deadline)
        throw util::Error("the DHT does not listen on " + listen_interfaces(listen));
    }
  }

  void run() {
    for (;;) {
      std::deque<DhtKey> asked;
      {
        auto mail = inbox.lock();
        mail.wait(woken, [&] { return mail->alerts || mail->stopping || !mail->asked.empty(); });
        if (mail->stopping) return;
        mail->alerts = false;
        asked.swap(mail->asked);
      }
      for (const DhtKey& key : asked) tell_our_own(key);
      read_alerts();
    }
  }

  void tell_our_own(const DhtKey& key) {
    auto found = shelf->lock()->of(key, false, kAnswer4, now());
    const auto ipv6 = shelf->lock()->of(key, true, kAnswer6, now());
    found.insert(found.end(), ipv6.begin(), ipv6.end());
    if (!found.empty()) on_found(key, found);
  }

  void read_alerts() {
    std::vector<lt::alert*> alerts;
    session->pop_alerts(&alerts);
    for (lt::alert* alert : alerts) {
      if (const auto* reply = lt::alert_cast<lt::dht_get_peers_reply_alert>(alert))
        tell(*reply);
      else if (const auto* stats = lt::alert_cast<lt::session_stats_alert>(alert))
        nodes = static_cast<size_t>(stats->counters()[nodes_metric]);
      else if (lt::alert_cast<lt::dht_error_alert>(alert))
        util::log::warning("dht: {}", alert->message());
    }
  }

  void tell(const lt::dht_get_peers_reply_alert& reply) {
    std::vector<Endpoint> found;
    for (const lt::tcp::endpoint& peer : reply.peers())
      if (const auto endpoint = to_endpoint(peer.address(), peer.port()))
        found.push_back(*endpoint);
    if (!found.empty()) on_found(to_key(reply.info_hash), found);
  }

  const OnFound on_found;
  const std::shared_ptr<Shelf> shelf = std::make_shared<Shelf>();
  const int nodes_metric = lt::find_metric_idx("dht.dht_nodes");
  std::atomic<size_t> nodes{0};
  util::Sync<Inbox> inbox;
  std::condition_variable woken;
  std::unique_ptr<lt::session> session;
  std::thread thread;
};

Dht::Dht(const std::vector<Endpoint>& listen, OnFound on_found)
    : state_(std::make_unique<State>(listen, std::move(on_found))) {}
Dht::~Dht() = default;

void Dht::meet(const std::vector<Endpoint>& nodes) {
  for (const Endpoint& node : nodes) state_->session->add_dht_node({node.address, node.port});
  // A walk towards anywhere brings in those that the new ones know.
  state_->session->dht_get_peers(to_hash(random_key()));
}

void Dht::announce(const DhtKey& key, uint16_t port) {
  state_->session->dht_announce(to_hash(key), port, {});
}

void Dht::ask(const DhtKey& key) {
  state_->session->dht_get_peers(to_hash(key));
  state_->inbox.lock()->asked.push_back(key);
  state_->woken.notify_one();
}

size_t Dht::nodes() {
  state_->session->post_session_stats();
  return state_->nodes;
}

}  // namespace swarmfs::swarm
