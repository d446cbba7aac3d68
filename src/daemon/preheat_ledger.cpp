// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/preheat_ledger.h"

#include <algorithm>

#include "util/log.h"

namespace swarmfs::daemon {

using swarm::PreheatOrder;
using swarm::PreheatState;
using util::Done;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

Failure no_order() {
  return {Fault::not_found, "no such order"};
}

/// Of what could not even start.
PreheatLedger::Pull stillborn(const std::string& why) {
  PreheatState failed;
  failed.state = PreheatState::State::failed;
  failed.error = why;
  return {[failed] { return failed; }, [] {}};
}

PreheatLedger::Pull try_to(const PreheatLedger::StartPull& start, const oci::Reference& reference,
                           const oci::Platform& platform) {
  try {
    return start(reference, platform);
  } catch (const std::exception& error) {
    return stillborn(error.what());
  }
}

}  // namespace

void PreheatLedger::connect(StartPull start) {
  const std::lock_guard hold(connection_);
  start_ = std::move(start);
}

void PreheatLedger::disconnect() {
  const std::lock_guard hold(connection_);
  start_ = {};
  Entries gone;
  gone.swap(*entries_.lock());
}

Outcome<Done> PreheatLedger::begin(const PreheatOrder& order, const std::string& text,
                                   const std::string& platform_text) {
  const auto reference = oci::Reference::parse(text);
  if (!reference) return reference.failure();
  const auto platform = platform_text.empty() ? Outcome<oci::Platform>(oci::Platform::host())
                                              : oci::Platform::parse(platform_text);
  if (!platform) return platform.failure();
  const std::shared_lock held(connection_);
  if (!start_) return Failure{Fault::unavailable, "the daemon starts or stops"};
  settle();
  const auto entry = enter(order, reference->to_string() + " " + platform->to_string());
  if (!entry) return entry.failure();
  if (!*entry) return Done{};
  util::log::info("preheat {}: ordered by node {}", reference->to_string(), order.node_id);
  started(**entry, try_to(start_, *reference, *platform));
  return Done{};
}

void PreheatLedger::look_over() {
  const std::shared_lock held(connection_);
  settle();
  for (const auto& pull : end_leases()) pull->cancel();
}

std::vector<std::shared_ptr<const PreheatLedger::Pull>> PreheatLedger::end_leases() {
  std::vector<std::shared_ptr<const Pull>> unwanted;
  const auto now = clock_.now();
  auto entries = entries_.lock();
  for (auto& entry : *entries) {
    if (entry.ended || entry.orders.empty()) continue;
    std::erase_if(entry.orders, [&](const auto& order) { return now - order.second > kLease; });
    if (!entry.orders.empty()) continue;
    util::log::info("preheat {}: ends, since nobody asked about it for {} s", entry.image,
                    kLease.count());
    if (entry.pull) unwanted.push_back(entry.pull);
  }
  return unwanted;
}

/// Notes which pulls have ended, and forgets those that ended long ago.
void PreheatLedger::settle() {
  std::vector<std::shared_ptr<const Pull>> ended;
  {
    auto entries = entries_.lock();
    for (const auto& entry : *entries)
      if (entry.pull && !entry.ended) ended.push_back(entry.pull);
  }
  std::erase_if(
      ended, [](const auto& pull) { return pull->look().state == PreheatState::State::running; });
  const auto now = clock_.now();
  auto entries = entries_.lock();
  for (auto& entry : *entries)
    if (!entry.ended && std::find(ended.begin(), ended.end(), entry.pull) != ended.end())
      entry.ended = now;
  entries->remove_if(
      [&](const Entry& entry) { return entry.ended && now - *entry.ended >= kRemembered; });
}

Outcome<std::optional<PreheatLedger::Entries::iterator>> PreheatLedger::enter(
    const PreheatOrder& order, const std::string& image) {
  using Entered = std::optional<Entries::iterator>;
  auto entries = entries_.lock();
  const auto now = clock_.now();
  if (const auto known = find(*entries, order); known != entries->end()) {
    known->orders[order] = now;
    return Entered();
  }
  size_t running = 0;
  for (auto& entry : *entries) {
    if (entry.ended) continue;
    ++running;
    if (entry.image != image || entry.orders.empty()) continue;
    if (entry.orders.size() >= kMostOrders)
      return Failure{Fault::unavailable, "busy: too many ordered this image"};
    entry.orders.emplace(order, now);
    return Entered();
  }
  if (running >= kMostRunning)
    return Failure{Fault::unavailable,
                   "busy: it preheats " + std::to_string(running) + " other images; try later"};
  if (entries->size() >= kMostRemembered)
    entries->erase(std::find_if(entries->begin(), entries->end(),
                                [](const Entry& entry) { return entry.ended.has_value(); }));
  entries->push_back({image, {{order, now}}, nullptr, {}});
  return Entered(std::prev(entries->end()));
}

void PreheatLedger::started(Entries::iterator entry, Pull pull) {
  const auto shared = std::make_shared<const Pull>(std::move(pull));
  auto entries = entries_.lock();
  entry->pull = shared;
  const bool unwanted = entry->orders.empty();
  entries.unlock();
  if (unwanted) shared->cancel();
}

PreheatLedger::Entries::iterator PreheatLedger::find(Entries& entries, const PreheatOrder& order) {
  return std::find_if(entries.begin(), entries.end(),
                      [&](const Entry& entry) { return entry.orders.contains(order); });
}

Outcome<PreheatState> PreheatLedger::look(const PreheatOrder& order) {
  const std::shared_lock held(connection_);
  settle();
  std::shared_ptr<const Pull> pull;
  {
    auto entries = entries_.lock();
    const auto entry = find(*entries, order);
    if (entry == entries->end()) return no_order();
    entry->orders[order] = clock_.now();
    pull = entry->pull;
  }
  return pull ? pull->look() : PreheatState{};
}

Outcome<Done> PreheatLedger::take_back(const PreheatOrder& order) {
  const std::shared_lock held(connection_);
  std::shared_ptr<const Pull> unwanted;
  {
    auto entries = entries_.lock();
    const auto entry = find(*entries, order);
    if (entry == entries->end()) return no_order();
    entry->orders.erase(order);
    if (entry->orders.empty()) unwanted = entry->pull;
  }
  if (unwanted) unwanted->cancel();
  return Done{};
}

}  // namespace swarmfs::daemon
