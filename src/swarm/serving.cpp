// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/serving.h"

#include <algorithm>

namespace swarmfs::swarm {

namespace {

constexpr size_t kMostIdlePeers = 4096;
constexpr uint64_t kLargestChunk = 1 << 20;

util::TokenBucket bucket(uint64_t rate, util::SteadyTime now) {
  return {static_cast<double>(rate), now};
}

bool is_bulk(const Serving::Request& request) {
  return request.cls != chunk::Class::fault;
}

}  // namespace

Serving::Serving(const ServeLimits& limits)
    : load_(Load{
          limits, bucket(limits.bulk_rate, std::chrono::steady_clock::now()), {}, {}, {}, {}}) {}

Serving::OfPeer& Serving::Load::of(const std::string& peer, util::SteadyTime now) {
  // A cap is remembered of who is idle, too.
  if (peers.size() > kMostIdlePeers)
    std::erase_if(peers, [](const auto& one) { return one.second.requests == 0; });
  return peers.try_emplace(peer, OfPeer{0, bucket(limits.bulk_rate_per_peer, now)}).first->second;
}

void Serving::set_limits(const ServeLimits& limits) {
  const auto now = std::chrono::steady_clock::now();
  auto load = load_.lock();
  load->limits = limits;
  load->bulk.set_rate(static_cast<double>(limits.bulk_rate), now);
  for (auto& [peer, one] : load->peers)
    one.bulk.set_rate(static_cast<double>(limits.bulk_rate_per_peer), now);
}

bool Serving::has_room(const Load& load, const Request& request, util::SteadyTime now) const {
  if (!is_bulk(request)) return true;
  const uint64_t limit = unsent_limit(load.limits, given_.best(now));
  uint64_t unsent = 0;
  for (const auto& [peer, bytes] : load.unsent)
    unsent += peer == request.peer ? bytes : unsent_to_another(limit, bytes);
  return may_send(limit, unsent, request.cls, request.bytes);
}

Serving::Entry Serving::enter(const Request& request, util::SteadyTime now) {
  auto load = load_.lock();
  auto& total = load->total;
  auto& peer = load->of(request.peer, now);
  total.of_this_peer = peer.requests;
  if (load->stopping || !admits(load->limits, total, request.cls, request.bytes)) return {};
  if (request.here && !has_room(*load, request, now)) return {};
  if (is_bulk(request))
    if (const auto wait = std::max(load->bulk.wait(now), peer.bulk.wait(now));
        wait > util::Duration())
      return {{}, wait};
  ++total.requests;
  total.bulk_requests += is_bulk(request);
  total.bytes += request.bytes;
  ++peer.requests;
  const uint64_t unsent = request.here && is_bulk(request) ? request.bytes : 0;
  if (unsent > 0) load->unsent[request.peer] += unsent;
  load->entered.emplace(load->next, One{{}, unsent});
  return {load->next++, {}};
}

bool Serving::sends(const Request& request, uint64_t number, bool relayed, util::SteadyTime now) {
  util::Operation ended;
  bool may = true;
  auto load = load_.lock();
  if (const auto found = load->entered.find(number); found != load->entered.end()) {
    ended = std::move(found->second.read);
    if (is_bulk(request) && found->second.unsent == 0) {
      may = relayed || has_room(*load, request, now);
      if (may) load->unsent[request.peer] += found->second.unsent = request.bytes;
    }
  }
  load.unlock();
  return may;
}

bool Serving::is_full(util::SteadyTime now) {
  auto load = load_.lock();
  return !has_room(*load, {{}, chunk::Class::pull, kLargestChunk, true}, now);
}

void Serving::spend(const Request& request, util::SteadyTime now) {
  if (!is_bulk(request)) return;
  auto load = load_.lock();
  load->bulk.take(static_cast<double>(request.bytes), now);
  load->peers.at(request.peer).bulk.take(static_cast<double>(request.bytes), now);
}

void Serving::give_back(const Request& request, util::SteadyTime now) {
  if (!is_bulk(request)) return;
  auto load = load_.lock();
  load->bulk.give_back(static_cast<double>(request.bytes), now);
  load->peers.at(request.peer).bulk.give_back(static_cast<double>(request.bytes), now);
}

void Serving::keep(uint64_t number, util::Operation operation) {
  auto load = load_.lock();
  const auto found = load->entered.find(number);
  if (found != load->entered.end()) std::swap(found->second.read, operation);
  load.unlock();  // what was not kept dies without it
}

void Serving::leave(const Request& request, uint64_t number) {
  util::Operation ended;
  uint64_t sent = 0;
  auto load = load_.lock();
  if (const auto found = load->entered.find(number); found != load->entered.end()) {
    auto& total = load->total;
    --total.requests;
    total.bulk_requests -= is_bulk(request);
    total.bytes -= request.bytes;
    --load->peers.at(request.peer).requests;
    ended = std::move(found->second.read);
    sent = found->second.unsent;
    const auto of_peer = load->unsent.find(request.peer);
    if (sent > 0 && (of_peer->second -= sent) == 0) load->unsent.erase(of_peer);
    load->entered.erase(found);
  }
  load.unlock();
  if (sent > 0) given_.arrived(sent, std::chrono::steady_clock::now());
}

void Serving::stop() {
  std::map<uint64_t, One> entered;
  auto load = load_.lock();
  load->stopping = true;
  entered.swap(load->entered);
  load.unlock();
}

util::SharedBytes until_sent(std::shared_ptr<Serving> serving, Serving::Request request,
                             uint64_t number, util::SharedBytes bytes) {
  const auto view = bytes.view();
  std::shared_ptr<const void> owner(
      view.data(), [serving = std::move(serving), request = std::move(request), number,
                    bytes = std::move(bytes)](const void*) { serving->leave(request, number); });
  return {std::move(owner), view};
}

}  // namespace swarmfs::swarm
