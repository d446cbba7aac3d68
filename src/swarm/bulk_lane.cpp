// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/bulk_lane.h"

#include <algorithm>
#include <utility>

#include "swarm/info_dict.h"
#include "swarm/torrent_source.h"
#include "util/log.h"

namespace swarmfs::swarm {

namespace {

constexpr std::chrono::milliseconds kLook{250};
constexpr size_t kMostMet = 4096;
constexpr size_t kMostPeers = 50;               ///< as many as a torrent has connections
constexpr std::chrono::seconds kAskedFor{120};  ///< a layer is exchanged for so long after that
constexpr size_t kMostAskedAbout = 1024;

TorrentOptions torrent_options(const BulkOptions& options, const http::TlsMaterial& material,
                               std::function<bool(const std::string&)> may_meet) {
  return {options.listen, material, options.rates, std::move(may_meet)};
}

util::SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

BulkLane::BulkLane(BulkOptions options, Holdings& holdings, PeerTable& table, LayerViews& views,
                   util::Timers& timers, util::Metrics& metrics, const http::TlsMaterial& material,
                   std::string ca_pem)
    : options_(std::move(options)),
      holdings_(holdings),
      table_(table),
      views_(views),
      meters_(metrics),
      ca_pem_(std::move(ca_pem)),
      same_zone_(options_.same_zone),
      session_(torrent_options(options_, material, [this](const auto& at) { return may_meet(at); }),
               meters_,
               [this](const std::string& address, const util::Digest& layer,
                      const std::string& why) { on_liar(address, layer, why); }),
      source_(std::make_unique<TorrentSource>(
          [this](const util::Digest& digest, const TorrentSource::Look& look) {
            auto state = state_.lock();
            const auto found = state->entries.find(digest);
            if (found == state->entries.end()) return;
            views_.renew(digest, now());
            look(found->second.layer);
          },
          session_, deliveries_)),
      lookout_(std::make_unique<util::Workers>(1)) {
  tick_ = timers.every(kLook, [this] { order_look(); });
}

BulkLane::~BulkLane() {
  tick_.cancel();
  lookout_.reset();
  for (auto& [digest, entry] : state_.lock()->entries)
    entry.layer->end({util::Fault::cancelled, "the bulk lane ends"});
}

void BulkLane::meet(const std::string& address, const std::string& zone) {
  auto state = state_.lock();
  // They ask again soon.
  if (state->zones.size() >= kMostMet && !state->zones.contains(address)) state->zones.clear();
  const auto [known, fresh] = state->zones.emplace(address, zone);
  if (fresh) session_.meet(address);
  // Of several daemons at an address the nearest counts.
  if (known->second != options_.zone) known->second = zone;
}

bool BulkLane::may_meet(const std::string& address) const {
  if (!same_zone_) return true;
  auto state = state_.lock();
  const auto known = state->zones.find(address);
  return known != state->zones.end() && is_near(known->second);
}

uint16_t BulkLane::asked(const util::Digest& layer, const std::string& address,
                         const std::string& zone) {
  if (!address.empty()) meet(address, zone);
  if (!is_near(zone)) return 0;
  auto state = state_.lock();
  if (state->asked.size() < kMostAskedAbout || state->asked.contains(layer))
    state->asked[layer] = now();
  return state->entries.contains(layer) ? options_.listen.front().port : uint16_t{0};
}

void BulkLane::set_identity(const http::TlsMaterial& material, const std::string& ca_pem) {
  session_.set_tls(material);
  *ca_pem_.lock() = ca_pem;
  begin_anew_ = true;
}

std::optional<unsigned> BulkLane::peers(const util::Digest& layer) const {
  auto state = state_.lock();
  const auto found = state->entries.find(layer);
  if (found == state->entries.end()) return std::nullopt;
  return found->second.layer->availability.summary().peers;
}

LayerTraffic::Rates BulkLane::rates(const util::Digest& layer) const {
  return meters_.traffic.of(layer, now());
}

void BulkLane::set_same_zone(bool same_zone) {
  if (same_zone_.exchange(same_zone) != same_zone) begin_anew_ = true;
}

void BulkLane::order_look() {
  if (looking_.exchange(true)) return;
  lookout_->post(util::Workers::Urgency::normal, [this] {
    looking_ = false;
    look();
  });
}

void BulkLane::look() {
  std::set<util::Digest> known;
  for (const auto& [digest, entry] : state_.lock()->entries) known.insert(digest);
  if (begin_anew_.exchange(false))
    for (const auto& digest : std::exchange(known, {})) drop(digest);
  const auto here = wanted();
  auto all = asked_lately();
  all.insert(here.begin(), here.end());
  for (const auto& digest : all)
    if (!known.contains(digest)) attend(digest, [&] { add(digest); });
  for (const auto& digest : known)
    attend(digest, [&] { look_after(digest, all.contains(digest)); });
}

void BulkLane::attend(const util::Digest& digest, const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {  // of the disk
    util::log::debug("bulk: layer {}: {}", digest.short_hex(), error.what());
  }
}

std::set<util::Digest> BulkLane::wanted() {
  std::set<util::Digest> made;
  for (const auto& layer : views_.interesting(now()))
    if (is_public(layer)) made.insert(layer.digest);
  return made;
}

std::set<util::Digest> BulkLane::asked_lately() {
  std::set<util::Digest> made;
  auto state = state_.lock();
  std::erase_if(state->asked, [&](const auto& one) { return one.second + kAskedFor < now(); });
  for (const auto& [digest, when] : state->asked) made.insert(digest);
  return made;
}

bool BulkLane::is_public(const chunk::LayerRef& layer) {
  const auto repositories = repositories_of(layer);
  return std::any_of(repositories.begin(), repositories.end(), [&](const auto& repository) {
    return holdings_.belongs(layer.digest, repository) && holdings_.access(repository).known_public;
  });
}

void BulkLane::add(const util::Digest& digest) {
  auto found = holdings_.exchanged(digest);
  if (!found) return;
  const auto layer =
      std::make_shared<TorrentLayer>(found->ref, found->tree, std::move(found->stored),
                                     info_dict(digest, *found->tree, *ca_pem_.lock()), deliveries_);
  session_.add(layer, strangers_to(*layer));
  state_.lock()->entries.insert_or_assign(digest, Entry{layer, std::move(found->stands)});
}

void BulkLane::look_after(const util::Digest& digest, bool is_wanted) {
  Entry entry;
  {
    auto state = state_.lock();
    entry = state->entries.at(digest);
  }
  const auto& layer = *entry.layer;
  if (!is_wanted || !entry.stands() || layer.broken()) return drop(digest);
  if (auto peers = strangers_to(layer); !peers.empty())
    session_.connect(entry.layer, std::move(peers));
  auto fresh = layer.untold();
  std::erase_if(fresh, [&](uint32_t piece) { return !layer.stored().has(layer.blocks_of(piece)); });
  if (!fresh.empty()) session_.inject(entry.layer, std::move(fresh));
}

std::vector<Endpoint> BulkLane::strangers_to(const TorrentLayer& layer) {
  std::vector<Endpoint> near, far;
  for (const auto& member : views_.members(layer.ref().digest, {}, now())) {
    const auto peer = table_.find(member.endpoint);
    if (member.bulk_port == 0 || !peer || !peer->banned.empty()) continue;
    if (!is_near(peer->zone)) continue;
    if (layer.availability.is_connected(member.endpoint.address)) continue;
    meet(member.endpoint.address, peer->zone);
    auto& some = peer->zone == options_.zone ? near : far;
    some.push_back({member.endpoint.address, member.bulk_port});
  }
  const size_t room = kMostPeers - std::min(near.size(), kMostPeers);
  far.resize(std::min(far.size(), room));
  near.insert(near.end(), far.begin(), far.end());
  return near;
}

void BulkLane::drop(const util::Digest& digest) {
  Entry gone;
  {
    auto state = state_.lock();
    const auto found = state->entries.find(digest);
    if (found == state->entries.end()) return;
    gone = std::move(found->second);
    state->entries.erase(found);
  }
  session_.remove(gone.layer);
  gone.layer->end({util::Fault::unavailable, "the layer is not exchanged any more"});
}

void BulkLane::on_liar(const std::string& address, const util::Digest& layer,
                       const std::string& why) {
  for (const auto& member : views_.members(layer, {}, now())) {
    if (member.endpoint.address != address) continue;
    table_.ban(member.endpoint, why, layer);
    views_.gone(member.endpoint);
  }
}

}  // namespace swarmfs::swarm
