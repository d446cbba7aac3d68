// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/lookahead.h"

#include <algorithm>

namespace swarmfs::cache {

void Lookahead::Entry::arrive(util::Outcome<util::SharedBytes> outcome) {
  auto state = state_.lock();
  if (!state->on_read) {
    state->outcome = std::move(outcome);
    return;
  }
  const auto call = std::move(state->on_read);
  state.unlock();
  call(std::move(outcome));
}

void Lookahead::Entry::wait(OnRead on_read) {
  auto state = state_.lock();
  if (!state->outcome) {
    state->on_read = std::move(on_read);
    return;
  }
  auto outcome = std::move(*state->outcome);
  state.unlock();
  on_read(std::move(outcome));
}

Lookahead::Answer Lookahead::on_read(util::ByteRange range, uint64_t size) {
  Answer answer;
  auto state = state_.lock();
  auto& entries = state->entries;
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const EntryPtr& entry) { return entry->range() == range; });
  if (found != entries.end()) {
    answer.hit = *found;
    entries.erase(found);
  }
  const bool sequential = answer.hit || range.offset == state->next;
  state->next = range.end();
  if (!sequential || (!entries.empty() && entries.front()->range().offset != range.end()))
    entries.clear();
  if (!sequential) return answer;
  uint64_t end = entries.empty() ? range.end() : entries.back()->range().end();
  while (entries.size() < kDepth) {
    const auto next = util::ByteRange{end, range.length}.clamp(size);
    if (next.empty()) break;
    answer.wanted.push_back(entries.emplace_back(std::make_shared<Entry>(next)));
    end = next.end();
  }
  return answer;
}

void Lookahead::clear() {
  *state_.lock() = {};
}

}  // namespace swarmfs::cache
