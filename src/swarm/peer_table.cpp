// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/peer_table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <unordered_map>
#include <utility>

#include "swarm/latency.h"
#include "util/sync.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using util::Duration;
using util::SteadyTime;

constexpr size_t kMostPeers = 4096;
constexpr uint64_t kSmall = 256 * 1024;
/// What a peer in a LAN does; an unmeasured one is worth a try.
constexpr Duration kUnmeasured = milliseconds(3);
constexpr double kUnmeasuredRate = 50e6;
/// A slow peer may have become a fast one meanwhile.
constexpr Duration kStale = seconds(60);
/// A probe that takes longer may be a request that its peer works on: it keeps no other away.
constexpr Duration kProbe = seconds(1);
/// Below this an answer says more about the scheduler than about the link.
constexpr uint64_t kWorthMeasuring = 64 * 1024;

Duration silence(unsigned failures) {
  return std::min<Duration>(seconds(60), seconds(1) * (1u << std::min(failures - 1, 6u)));
}

Duration time_for(uint64_t bytes, double rate) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(static_cast<double>(bytes) / rate));
}

struct Ban {
  std::string reason;
  std::optional<util::Digest> layer;  ///< for the bytes of this one alone
};

struct Entry {
  Peer peer;
  std::optional<util::Digest> ban_layer;
  std::array<Latency, 2> first_bytes;  ///< of small and of large requests
  Latency relays;                      ///< first bytes that had to come from the registry
  SteadyTime measured;
  SteadyTime failed_at;
  SteadyTime busy_at;               ///< zero: it has given since
  std::optional<SteadyTime> probe;  ///< when one that is under way began

  [[nodiscard]] const Latency& latency(uint64_t length) const {
    const size_t kind = length > kSmall;
    return first_bytes[first_bytes[kind].empty() ? 1 - kind : kind];
  }

  [[nodiscard]] Duration expected(uint64_t length, SteadyTime now) const {
    const Latency& seen = latency(length);
    const Duration first = seen.empty() ? kUnmeasured : seen.mean();
    const double rate = peer.rate > 0 ? peer.rate : kUnmeasuredRate;
    if (now - measured < kStale) return first + time_for(length, rate);
    return std::min(first, kUnmeasured) + time_for(length, std::max(rate, kUnmeasuredRate));
  }

  [[nodiscard]] Duration relay(SteadyTime now) const {
    return now - measured < kStale ? relays.mean() : Duration();
  }

  [[nodiscard]] bool askable(SteadyTime now) const {
    if (!peer.banned.empty()) return false;
    if (peer.failures == 0) return true;
    return now >= peer.silent_until && (!probe || now - *probe >= kProbe);
  }

  [[nodiscard]] Peer measured_peer() const {
    Peer made = peer;
    made.first_byte = latency(0).mean();
    made.p95 = latency(0).p95();
    return made;
  }

  void measure_first_byte(uint64_t length, bool has_it, Duration took, SteadyTime now) {
    (has_it ? first_bytes[length > kSmall] : relays).add(took);
    measured = now;
  }

  void measure_rate(uint64_t bytes, Duration took, SteadyTime now) {
    const double elapsed =
        std::chrono::duration<double>(std::max<Duration>(took, microseconds(50))).count();
    const double sample = static_cast<double>(bytes) / elapsed;
    peer.rate = peer.rate > 0 ? peer.rate + (sample - peer.rate) * 0.3 : sample;
    measured = now;
  }

  /// A second ban for something else is beyond pardon.
  void ban(const Ban& ban) {
    if (peer.banned.empty())
      ban_layer = ban.layer;
    else if (ban_layer != ban.layer)
      ban_layer.reset();
    if (peer.banned.empty()) peer.banned = ban.reason;
  }

  void alive() {
    peer.failures = 0;
    peer.silent_until = {};
    peer.failure.clear();
  }
};

struct Known {
  std::unordered_map<Endpoint, Entry> peers;
  std::map<std::string, Ban> banned_nodes;  ///< by node id
  Latency registry;
  SteadyTime fetched;

  Entry* find(const Endpoint& endpoint) {
    const auto found = peers.find(endpoint);
    return found == peers.end() ? nullptr : &found->second;
  }

  Entry* add(const Endpoint& endpoint) {
    if (Entry* known = find(endpoint)) return known;
    if (peers.size() >= kMostPeers && !make_room()) return nullptr;
    Entry& entry = peers[endpoint];
    entry.peer.endpoint = endpoint;
    return &entry;
  }

  bool make_room() {
    const auto worth = [](const auto& item) {
      const Peer& peer = item.second.peer;
      return peer.banned.empty() && peer.in_flight == 0 ? peer.failures : 0;
    };
    const auto worst = std::max_element(peers.begin(), peers.end(),
                                        [&](auto& a, auto& b) { return worth(a) < worth(b); });
    if (worth(*worst) == 0) return false;
    peers.erase(worst);
    return true;
  }
};

bool can_be_shown(std::string_view zone) {
  return zone.size() <= 63 && std::all_of(zone.begin(), zone.end(),
                                          [](unsigned char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

struct PeerTable::State {
  State(std::string id, const util::Clock& time) : self(std::move(id)), clock(time) {}
  const std::string self;
  const util::Clock& clock;
  util::Sync<Known> known;
};

struct PeerTable::Attempt::Data {
  std::shared_ptr<State> state;
  Endpoint endpoint;
  uint64_t length = 0;
  bool has_it = true;
  SteadyTime began;
  Duration expected{};
  uint64_t arrived = 0;
  SteadyTime first_byte;

  /// The table may have forgotten the peer meanwhile.
  template <class Change>
  void close(Change change) {
    auto known = state->known.lock();
    Entry* entry = known->find(endpoint);
    if (!entry) return;
    if (entry->peer.in_flight > 0) entry->peer.in_flight--;
    if (entry->probe == began) entry->probe.reset();
    entry->peer.bytes_given += arrived;
    change(*entry);
  }

  void measure(Entry& entry, SteadyTime now) const {
    entry.measure_first_byte(length, has_it, first_byte - began, now);
    if (arrived >= kWorthMeasuring) entry.measure_rate(arrived, now - first_byte, now);
  }

  void gave_up(Entry& entry, SteadyTime now) const {
    if (now - began <= expected) return;
    if (arrived > 0) return measure(entry, now);
    entry.measure_first_byte(length, has_it, now - began, now);
  }
};

PeerTable::Attempt::Attempt(std::unique_ptr<Data> data) : data_(std::move(data)) {}
PeerTable::Attempt::Attempt(Attempt&&) noexcept = default;

PeerTable::Attempt& PeerTable::Attempt::operator=(Attempt&& other) noexcept {
  if (this != &other) {
    end();
    data_ = std::move(other.data_);
  }
  return *this;
}

PeerTable::Attempt::~Attempt() {
  end();
}

void PeerTable::Attempt::end() {
  const auto data = std::exchange(data_, nullptr);
  if (!data) return;
  const SteadyTime now = data->state->clock.now();
  data->close([&](Entry& entry) { data->gave_up(entry, now); });
}

void PeerTable::Attempt::arrived(uint64_t bytes) {
  assert(data_);
  if (data_->arrived == 0) data_->first_byte = data_->state->clock.now();
  data_->arrived += bytes;
}

void PeerTable::Attempt::done() {
  const auto data = std::exchange(data_, nullptr);
  assert(data);
  const SteadyTime now = data->state->clock.now();
  data->close([&](Entry& entry) {
    entry.alive();
    entry.busy_at = {};
    if (data->arrived > 0) data->measure(entry, now);
  });
}

void PeerTable::Attempt::declined() {
  const auto data = std::exchange(data_, nullptr);
  assert(data);
  data->close([](Entry& entry) { entry.alive(); });
}

void PeerTable::Attempt::busy() {
  const auto data = std::exchange(data_, nullptr);
  assert(data);
  const SteadyTime now = data->state->clock.now();
  data->close([&](Entry& entry) {
    entry.alive();
    entry.busy_at = now;
  });
}

void PeerTable::Attempt::failed(const std::string& why) {
  const auto data = std::exchange(data_, nullptr);
  assert(data);
  const SteadyTime now = data->state->clock.now();
  data->close([&](Entry& entry) {
    if (entry.peer.failures > 0 && data->began <= entry.failed_at) return;
    entry.peer.failures++;
    entry.peer.failure = why;
    entry.failed_at = now;
    entry.peer.silent_until = now + silence(entry.peer.failures);
  });
}

Duration PeerTable::Attempt::expected() const {
  return data_->expected;
}

SteadyTime PeerTable::Attempt::began() const {
  return data_->began;
}

PeerTable::PeerTable(std::string self, const util::Clock& clock)
    : state_(std::make_shared<State>(std::move(self), clock)) {}
PeerTable::~PeerTable() = default;

const std::string& PeerTable::self() const {
  return state_->self;
}

void PeerTable::add(const std::vector<Endpoint>& endpoints) {
  auto known = state_->known.lock();
  for (const Endpoint& endpoint : endpoints) known->add(endpoint);
}

void PeerTable::met(const Endpoint& endpoint, const std::string& node_id, const std::string& zone) {
  auto known = state_->known.lock();
  Entry* entry = known->add(endpoint);
  if (!entry) return;
  if (!entry->peer.node_id.empty() && entry->peer.node_id != node_id) {
    const unsigned in_flight = entry->peer.in_flight;
    *entry = {};
    entry->peer.endpoint = endpoint;
    entry->peer.in_flight = in_flight;
  }
  entry->peer.node_id = node_id;
  entry->peer.zone = can_be_shown(zone) ? zone : "";
  const auto ban = known->banned_nodes.find(node_id);
  if (ban != known->banned_nodes.end()) entry->ban(ban->second);
}

std::optional<PeerTable::Attempt> PeerTable::attempt(const Endpoint& endpoint, uint64_t length,
                                                     bool has_it) {
  const SteadyTime now = state_->clock.now();
  auto known = state_->known.lock();
  Entry* entry = known->add(endpoint);
  if (!entry || !entry->askable(now) || entry->peer.node_id == state_->self) return {};
  entry->peer.in_flight++;
  if (entry->peer.failures > 0) entry->probe = now;
  auto data = std::make_unique<Attempt::Data>();
  data->state = state_;
  data->endpoint = endpoint;
  data->length = length;
  data->has_it = has_it;
  data->began = now;
  data->expected = entry->expected(length, now) + (has_it ? Duration() : entry->relay(now));
  return Attempt(std::move(data));
}

void PeerTable::ban(const Endpoint& endpoint, const std::string& reason,
                    const std::optional<util::Digest>& layer) {
  std::string node_id;
  {
    auto known = state_->known.lock();
    Entry* entry = known->add(endpoint);
    if (!entry) return;
    node_id = entry->peer.node_id;
    if (node_id.empty()) entry->ban({reason, layer});
  }
  if (!node_id.empty()) ban_node(node_id, reason, layer);
}

void PeerTable::ban_node(const std::string& node_id, const std::string& reason,
                         const std::optional<util::Digest>& layer) {
  auto known = state_->known.lock();
  const auto [node, fresh] = known->banned_nodes.try_emplace(node_id, Ban{reason, layer});
  if (!fresh && node->second.layer != layer) node->second.layer.reset();
  for (auto& [endpoint, entry] : known->peers)
    if (entry.peer.node_id == node_id) entry.ban({reason, layer});
}

void PeerTable::pardon(const util::Digest& layer) {
  auto known = state_->known.lock();
  std::erase_if(known->banned_nodes, [&](const auto& ban) { return ban.second.layer == layer; });
  for (auto& [endpoint, entry] : known->peers)
    if (entry.ban_layer == layer) {
      entry.ban_layer.reset();
      entry.peer.banned.clear();
    }
}

bool PeerTable::banned(const std::string& node_id) const {
  return state_->known.lock()->banned_nodes.contains(node_id);
}

void PeerTable::fetched(Duration took) {
  auto known = state_->known.lock();
  known->registry.add(took);
  known->fetched = state_->clock.now();
}

Duration PeerTable::registry() const {
  auto known = state_->known.lock();
  return state_->clock.now() - known->fetched < kStale ? known->registry.mean() : Duration();
}

std::vector<Candidate> PeerTable::candidates(uint64_t length) const {
  const SteadyTime now = state_->clock.now();
  std::vector<Candidate> result;
  auto known = state_->known.lock();
  for (const auto& [endpoint, entry] : known->peers) {
    const Peer& peer = entry.peer;
    if (!entry.askable(now) || peer.node_id == state_->self) continue;
    result.push_back({endpoint, peer.node_id, peer.zone, entry.expected(length, now),
                      entry.latency(length).p95(), entry.relay(now), peer.in_flight,
                      is_busy(entry.busy_at, now)});
  }
  return result;
}

std::vector<Peer> PeerTable::list() const {
  std::vector<Peer> result;
  auto known = state_->known.lock();
  for (const auto& [endpoint, entry] : known->peers) result.push_back(entry.measured_peer());
  std::sort(result.begin(), result.end(),
            [](const Peer& a, const Peer& b) { return a.endpoint < b.endpoint; });
  return result;
}

std::optional<Peer> PeerTable::find(const Endpoint& endpoint) const {
  auto known = state_->known.lock();
  const Entry* entry = known->find(endpoint);
  return entry ? std::optional(entry->measured_peer()) : std::nullopt;
}

}  // namespace swarmfs::swarm
