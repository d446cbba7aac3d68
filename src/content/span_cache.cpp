// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/span_cache.h"

#include <algorithm>

namespace swarmfs::content {

std::optional<util::SharedBytes> SpanCache::find_locked(State& state, const Key& key) {
  const auto found = state.entries.find(key);
  if (found == state.entries.end()) return std::nullopt;
  state.order.splice(state.order.begin(), state.order, found->second.place);
  return found->second.bytes;
}

std::optional<util::SharedBytes> SpanCache::find(const Key& key) {
  return find_locked(*state_.lock(), key);
}

SpanCache::Join SpanCache::join(const Key& key, util::SteadyTime deadline, OnSpan on_span) {
  auto state = state_.lock();
  if (auto hit = find_locked(*state, key)) return {std::move(hit), false};
  auto& flight = state->flights[key];
  flight.waiting.push_back(std::move(on_span));
  flight.deadline = std::max(flight.deadline, deadline);
  return {std::nullopt, flight.waiting.size() == 1};
}

util::SteadyTime SpanCache::wanted_until(const Key& key) const {
  auto state = state_.lock();
  const auto found = state->flights.find(key);
  return found == state->flights.end() ? util::SteadyTime() : found->second.deadline;
}

void SpanCache::finish(const Key& key, const util::Outcome<util::SharedBytes>& outcome) {
  std::vector<OnSpan> waiting;
  {
    auto state = state_.lock();
    waiting.swap(state->flights[key].waiting);
    state->flights.erase(key);
    if (outcome && !state->entries.contains(key)) {
      state->order.push_front(key);
      state->entries[key] = {*outcome, state->order.begin()};
      state->bytes += outcome->size();
    }
    while (state->bytes > capacity_ && !state->order.empty()) {
      const auto last = state->entries.find(state->order.back());
      state->bytes -= last->second.bytes.size();
      state->entries.erase(last);
      state->order.pop_back();
    }
  }
  for (const auto& on_span : waiting) on_span(outcome);
}

}  // namespace swarmfs::content
