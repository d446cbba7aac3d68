// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/policy.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <tuple>

#include "swarm/shareholders.h"
#include "util/link_gauge.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using util::Duration;

constexpr size_t kHolders = 3;
/// unsent_limit().
constexpr double kSecondsUnsent = 0.5;
constexpr uint64_t kLeastUnsent = 2 << 20;
/// More are a crowd.
constexpr int64_t kFew = 8;
constexpr uint64_t kPieceOfComing = 256 << 10;
constexpr Duration kMostPatience = std::chrono::seconds(120);

/// The finalizer of MurmurHash3: every bit of the input reaches every bit of the output.
uint64_t mix(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdULL;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ULL;
  return value ^ value >> 33;
}

/// FNV-1a: the same number on every machine.
uint64_t hash(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325ULL;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return value;
}

uint64_t hash(const util::Digest& digest) {
  const auto* bytes = reinterpret_cast<const char*>(digest.bytes().data());
  return hash({bytes, digest.bytes().size()});
}

bool is_fault(chunk::Class cls) {
  return cls == chunk::Class::fault;
}

bool is_crowd(size_t wanting) {
  return wanting > static_cast<size_t>(kFew);
}

Duration as_owner(const Candidate& candidate) {
  return candidate.expected + candidate.relay;
}

Duration median_owner(std::span<const Candidate> all) {
  std::vector<Duration> times;
  for (const Candidate& candidate : all) times.push_back(as_owner(candidate));
  const auto middle = times.begin() + static_cast<ptrdiff_t>((times.size() - 1) / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// Above which an owner is slow.
Duration slowness(std::span<const Candidate> peers, Duration registry) {
  if (peers.size() < 2) return std::max<Duration>(milliseconds(1'000), 4 * registry);
  return std::max<Duration>(milliseconds(500), 8 * median_owner(peers));
}

ptrdiff_t count_wanting(std::span<const Candidate> peers) {
  return std::count_if(peers.begin(), peers.end(), [](const auto& one) { return one.wants; });
}

/// As choose(), of those in `among` alone, and no more than `most`; see steps() for what else
/// counts where `busy_matters`.
std::vector<size_t> best_of(std::span<const Candidate> candidates, std::string_view zone,
                            const std::vector<size_t>& among, size_t most, bool busy_matters) {
  using Kind = std::tuple<bool, bool, bool, bool, bool>;
  using Ranked = std::tuple<Kind, Duration, size_t>;
  std::vector<Ranked> order;
  order.reserve(among.size());
  const bool few = busy_matters && std::count_if(among.begin(), among.end(), [&](size_t i) {
                                     return !candidates[i].wants;
                                   }) <= count_wanting(candidates);
  auto fastest = Duration::max();
  for (const size_t i : among) fastest = std::min(fastest, candidates[i].expected);
  for (const size_t i : among) {
    const Candidate& it = candidates[i];
    const bool busy = busy_matters && it.busy, full = busy_matters && it.full;
    const bool spared = few && !(it.wants && it.expected / 4 <= fastest);
    order.emplace_back(
        Kind(few && !it.wants && (busy || full), busy, it.zone != zone, full, spared),
        it.expected * (1 + it.in_flight), i);
  }
  const auto worse = [&](const Ranked& a, const Ranked& b) {
    const auto& [a_kind, a_time, a_index] = a;
    const auto& [b_kind, b_time, b_index] = b;
    if (a_kind != b_kind || a_time != b_time)
      return std::tie(b_kind, b_time) < std::tie(a_kind, a_time);
    return candidates[b_index].endpoint < candidates[a_index].endpoint;
  };
  std::make_heap(order.begin(), order.end(), worse);
  std::vector<size_t> result;
  while (!order.empty() && result.size() < most) {
    std::pop_heap(order.begin(), order.end(), worse);
    const size_t i = std::get<2>(order.back());
    order.pop_back();
    const std::string& id = candidates[i].node_id;
    const bool seen = !id.empty() && std::any_of(result.begin(), result.end(), [&](size_t other) {
      return candidates[other].node_id == id;
    });
    if (!seen) result.push_back(i);
  }
  return result;
}

/// One of us and the peers.
struct Member {
  size_t index = 0;  ///< into question.peers; its size: we
  std::string_view id;
  double link = 0;
};

/// Below which a link is narrow among these. Not where little comes to anybody, and not where more
/// than a third say so: that is no matter of links.
double narrowness(const std::vector<Member>& members) {
  std::vector<double> links;
  for (const Member& member : members)
    if (member.link > 0) links.push_back(member.link);
  if (links.size() < 3) return 0;
  const auto middle = links.begin() + (std::ssize(links) - 1) / 2;
  std::nth_element(links.begin(), middle, links.end());
  const double narrow = *middle / 4;
  const auto count = std::count_if(links.begin(), middle, [=](double one) { return one < narrow; });
  const bool many = 3 * count > std::ssize(members);
  return many || narrow < util::LinkGauge::kTrickle ? 0 : narrow;
}

/// Who keeps up: of us and the peers that are known by id. `wanting`: of those alone who are
/// bringing the layer in.
std::vector<Member> able_members(const Question& question, bool wanting) {
  std::vector<Member> able{{question.peers.size(), question.self, question.link}};
  const Duration slow = slowness(question.peers, question.registry);
  for (size_t i = 0; i < question.peers.size(); ++i) {
    const Candidate& peer = question.peers[i];
    if (peer.node_id.empty() || as_owner(peer) > slow || (wanting && !peer.wants)) continue;
    if (!question.cross_zone && peer.zone != question.zone) continue;
    able.push_back({i, peer.node_id, peer.link});
  }
  const double narrow = narrowness(able);
  std::erase_if(able, [=](const Member& one) { return one.link > 0 && one.link < narrow; });
  return able;
}

/// Indices, as Member's, of those that may own a share: of able_members() the shareholders.
std::vector<size_t> able_owners(const Question& question, size_t count, bool wanting = false) {
  if (count == 0) return {};
  const auto able = able_members(question, wanting);
  const ShareholderWeights weigh(question.layer);
  std::vector<uint64_t> weights;
  for (const Member& one : able) weights.push_back(weigh(one.id));
  const auto chosen = shareholders(weights);
  std::vector<std::string_view> ids;
  for (const size_t i : chosen) ids.push_back(able[i].id);
  std::vector<size_t> result;
  for (const size_t owner : owners(question.layer, question.chunk, ids, count))
    result.push_back(able[chosen[owner]].index);
  return result;
}

/// Those who are asked after the holders, if any, and before the registry.
std::vector<size_t> owners_to_ask(const Question& question, bool is_held) {
  const bool fault = is_fault(question.cls);
  // A reader does not wait for a chain of peers; bulk does, to spare the registry.
  auto owners = able_owners(question, !fault ? 2 : is_held ? 0 : 1);
  const auto self = std::find(owners.begin(), owners.end(), question.peers.size());
  const bool stands_in = question.spare && !fault && !is_held && self != owners.end();
  owners.erase(stands_in ? owners.begin() : self, owners.end());
  return owners;
}

}  // namespace

Rendezvous::Rendezvous(const util::Digest& layer, uint64_t chunk)
    : of_chunk_(mix(hash(layer) + chunk)) {}

uint64_t Rendezvous::operator()(std::string_view member) const {
  return mix(of_chunk_ ^ hash(member));
}

std::vector<size_t> owners(const util::Digest& layer, uint64_t chunk,
                           std::span<const std::string_view> members, size_t count) {
  const Rendezvous weigh(layer, chunk);
  std::vector<std::tuple<uint64_t, std::string_view, size_t>> order;
  order.reserve(members.size());
  for (size_t i = 0; i < members.size(); ++i) order.emplace_back(~weigh(members[i]), members[i], i);
  const size_t wanted = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(wanted), order.end());
  std::vector<size_t> result;
  for (size_t i = 0; i < wanted; ++i) result.push_back(std::get<2>(order[i]));
  return result;
}

bool is_busy(util::SteadyTime said, util::SteadyTime now) {
  return said != util::SteadyTime() && now - said < kBusyFor;
}

std::vector<size_t> choose(std::span<const Candidate> candidates, std::string_view zone) {
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), 0);
  return best_of(candidates, zone, order, order.size(), false);
}

Duration hedge_delay(chunk::Class cls, const Candidate& peer, bool has_it, Duration registry) {
  if (!is_fault(cls)) {
    if (has_it && !peer.coming) return milliseconds(500);
    return std::clamp<Duration>(4 * std::max(peer.relay, registry), milliseconds(1'000),
                                milliseconds(20'000));
  }
  const Duration patience = peer.p95 + peer.p95 / 4;
  const Duration delay = std::clamp<Duration>(patience, milliseconds(20), milliseconds(50));
  return has_it ? delay : delay + milliseconds(150);
}

bool is_slow(const Candidate& candidate, std::span<const Candidate> all, Duration registry) {
  return as_owner(candidate) > slowness(all, registry);
}

std::vector<Step> steps(const Question& question) {
  std::vector<Step> result;
  const auto ask = [&](size_t peer, bool has_it) {
    result.push_back(
        {peer, hedge_delay(question.cls, question.peers[peer], has_it, question.registry)});
  };
  auto holders = question.holders;
  std::erase_if(holders, [&](size_t holder) {
    return !question.cross_zone && question.peers[holder].zone != question.zone;
  });
  const bool fault = is_fault(question.cls);
  for (const size_t holder : best_of(question.peers, question.zone, holders, kHolders, !fault))
    ask(holder, true);
  bool second = false;
  for (const size_t owner : owners_to_ask(question, !result.empty())) {
    const bool asked = std::any_of(result.begin(), result.end(),
                                   [&](const Step& step) { return step.peer == owner; });
    if (!asked) ask(owner, false);
    // Behind the second owner stands the registry, for everybody at once.
    if (second && !asked) result.back().hedge *= 4;
    second = true;
  }
  result.push_back({std::nullopt, Duration::max()});
  return result;
}

bool is_to_be_had(const ChunkCopies& copies) {
  if (is_crowd(copies.wanting) && copies.full >= copies.of_wanting + copies.of_others) return false;
  return copies.of_wanting > 0 || copies.of_others > copies.wanting;
}

bool is_ours(const Question& question) {
  return able_owners(question, 1, true).front() == question.peers.size();
}

bool is_scarce(const Question& question) {
  const auto wants = [&](size_t i) { return question.peers[i].wants; };
  return !question.holders.empty() &&
         std::ssize(question.holders) <= count_wanting(question.peers) &&
         std::none_of(question.holders.begin(), question.holders.end(), wants);
}

uint64_t most_at_once(chunk::Class cls, bool coming, size_t wanting) {
  return coming && !is_crowd(wanting) && !is_fault(cls) ? kPieceOfComing : UINT64_MAX;
}

Patience patience_with_peers(chunk::Class cls, Duration steps, size_t wanting) {
  if (is_fault(cls) || !is_crowd(wanting)) return {steps, !is_fault(cls) && wanting > 0};
  const auto crowd = static_cast<int64_t>(wanting);
  const Duration most = std::max(steps, kMostPatience);
  return {steps / kFew >= most / crowd ? most : steps * crowd / kFew, true};
}

bool lags(chunk::Class cls, const Progress& progress) {
  const bool fault = is_fault(cls);
  if (progress.arrived == 0 || progress.arrived >= progress.asked) return false;
  if (progress.silent >= (fault ? milliseconds(100) : milliseconds(1'000))) return true;
  const Duration grace =
      std::max<Duration>(fault ? milliseconds(50) : milliseconds(2'000), 2 * progress.expected);
  if (progress.elapsed < grace) return false;
  const double rest = static_cast<double>(progress.asked - progress.arrived);
  const double needs =
      static_cast<double>(progress.elapsed.count()) * rest / static_cast<double>(progress.arrived);
  return needs > static_cast<double>(grace.count());
}

bool may_overtake(chunk::Class cls, bool congested) {
  return is_fault(cls) || !congested;
}

std::optional<Duration> pause_when_busy(chunk::Class cls, unsigned times) {
  if (is_fault(cls)) return {};
  return std::min<Duration>(milliseconds(400), milliseconds(50) * (1 + times));
}

std::optional<Duration> wait_as_told(chunk::Class cls, std::string_view told) {
  uint32_t count = 0;
  const auto [end, error] = std::from_chars(told.data(), told.data() + told.size(), count);
  if (is_fault(cls) || error != std::errc() || end != told.data() + told.size()) return {};
  return std::clamp<Duration>(milliseconds(count), milliseconds(50), kMostWait);
}

bool admits(const ServeLimits& limits, const ServeLoad& load, chunk::Class cls, uint64_t length) {
  const unsigned per_peer = limits.per_peer * (is_fault(cls) ? 2 : 1);
  if (load.requests >= limits.requests || load.of_this_peer >= per_peer) return false;
  if (!is_fault(cls) && load.bulk_requests >= limits.bulk_requests) return false;
  return load.requests == 0 || load.bytes + length <= limits.bytes;
}

uint64_t unsent_limit(const ServeLimits& limits, double rate) {
  const auto takes = static_cast<uint64_t>(rate * kSecondsUnsent);
  return std::min(limits.bulk_unsent, kLeastUnsent + takes);
}

uint64_t unsent_to_another(uint64_t limit, uint64_t unsent) {
  return std::min(unsent, limit / 4);
}

bool may_send(uint64_t limit, uint64_t unsent, chunk::Class cls, uint64_t length) {
  return is_fault(cls) || unsent == 0 || unsent + length <= limit;
}

Serve how_to_serve(bool admitted, bool here, bool elsewhere) {
  if (!here && elsewhere) return Serve::refer;
  if (!admitted) return Serve::busy;
  return here ? Serve::send : Serve::relay;
}

}  // namespace swarmfs::swarm
