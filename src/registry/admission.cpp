// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/admission.h"

#include <algorithm>
#include <vector>

#include "registry/conversation.h"

namespace swarmfs::registry {

namespace {

/// Who asked a host is taken for one that asks it for so long.
constexpr std::chrono::seconds kAsksOn{3};
/// Who cannot wait takes no more of the cluster's requests in advance.
constexpr std::chrono::seconds kMostAdvance{10};

}  // namespace

void Admission::set_fellows(AskFellows fellows) {
  *ask_fellows_.lock() = std::make_shared<const AskFellows>(std::move(fellows));
}

Fellows Admission::fellows_at(const std::string& host) const {
  const auto ask = *ask_fellows_.lock();
  return ask ? (*ask)(host) : Fellows{};
}

util::Duration Admission::wait(const std::string& host, bool bulk, util::SteadyTime now) {
  const auto held_for_others = bulk ? fellows_at(host).held_until : util::SteadyTime();
  auto hosts = hosts_.lock();
  auto& state = (*hosts)[host];
  const auto until = std::max(state.held_until, held_for_others);
  return until > now ? until - now : state.breaker.wait(now);
}

util::Duration Admission::closed_for(const std::string& host, bool bulk, util::SteadyTime now) {
  const auto held_for_others = bulk ? fellows_at(host).held_until : util::SteadyTime();
  auto hosts = hosts_.lock();
  const auto& state = (*hosts)[host];
  return std::max({state.held_until - now, held_for_others - now, state.breaker.open_for(now)});
}

void Admission::succeeded(const std::string& host) {
  (*hosts_.lock())[host].breaker.succeeded();
}

void Admission::failed(const std::string& host, util::SteadyTime now) {
  (*hosts_.lock())[host].breaker.failed(now);
}

void Admission::hold_back(const std::string& host, util::SteadyTime until) {
  auto hosts = hosts_.lock();
  auto& held = (*hosts)[host].held_until;
  held = std::max(held, until);
}

util::Duration Admission::pace(const Wish& wish, util::SteadyTime now) {
  // Faults pass here: others are looked at only where there is something to share with them.
  const bool shares = wish.cluster.requests_per_second > 0 || wish.cluster.bytes_per_second > 0;
  const auto part = part_of(wish.cluster, shares ? fellows_at(wish.host).asking : 0);
  auto hosts = hosts_.lock();
  auto& state = (*hosts)[wish.host];
  state.requests.set_rate(wish.node.requests_per_second, now);
  state.our_part.set_rate(part.requests_per_second, now);
  state.bytes.set_rate(stricter(wish.node, part).bytes_per_second, now);
  if (wish.bulk) state.bulk_at = now;
  auto pause = state.requests.wait(now);
  if (wish.bulk) pause = std::max({pause, state.our_part.wait(now), state.bytes.wait(now)});
  if (pause != util::Duration()) return pause;
  state.requests.take(1, now);
  if (wish.bulk || state.our_part.wait(now) < kMostAdvance) state.our_part.take(1, now);
  if (wish.bulk) state.bytes.take(static_cast<double>(wish.bytes), now);
  return {};
}

std::shared_ptr<Conversation> Admission::Host::next_waiting() {
  for (auto& queue : waiting)
    while (!queue.empty()) {
      auto next = queue.front().lock();
      queue.pop_front();
      if (next) return next;
    }
  return nullptr;
}

bool Admission::Host::has_place(const Fellows& fellows) const {
  const unsigned places = stricter(node, part_of(cluster, fellows.asking)).connections;
  return places == 0 || active < places;
}

std::vector<std::shared_ptr<Conversation>> Admission::Host::admit(const Fellows& fellows) {
  std::vector<std::shared_ptr<Conversation>> made;
  while (has_place(fellows)) {
    auto next = next_waiting();
    if (!next) break;
    ++active;
    made.push_back(std::move(next));
  }
  return made;
}

bool Admission::enter(const Wish& wish, chunk::Class cls, const std::shared_ptr<Conversation>& who,
                      util::SteadyTime now) {
  const auto fellows = fellows_at(wish.host);
  std::vector<std::shared_ptr<Conversation>> admitted;
  {
    auto hosts = hosts_.lock();
    auto& state = (*hosts)[wish.host];
    state.node = wish.node;
    state.cluster = wish.cluster;
    state.bulk_at = now;
    admitted = state.admit(fellows);
    if (admitted.empty() && state.has_place(fellows)) {
      ++state.active;
      return true;
    }
    state.waiting[static_cast<size_t>(cls)].push_back(who);
    for (auto& next : state.admit(fellows)) admitted.push_back(std::move(next));
  }
  for (const auto& next : admitted) next->admitted();
  return false;
}

void Admission::leave(const std::string& host) {
  const auto fellows = fellows_at(host);
  std::vector<std::shared_ptr<Conversation>> admitted;
  {
    auto hosts = hosts_.lock();
    auto& state = (*hosts)[host];
    if (state.active > 0) --state.active;
    admitted = state.admit(fellows);
  }
  for (const auto& next : admitted) next->admitted();
}

std::map<std::string, HostUse> Admission::in_use(util::SteadyTime now) const {
  std::map<std::string, HostUse> made;
  auto hosts = hosts_.lock();
  for (const auto& [host, state] : *hosts) {
    const HostUse use{
        state.active > 0 || (state.bulk_at != util::SteadyTime() && now - state.bulk_at < kAsksOn),
        std::max(util::Duration(), state.held_until - now)};
    if (use.asks || use.held > util::Duration()) made.emplace(host, use);
  }
  return made;
}

}  // namespace swarmfs::registry
