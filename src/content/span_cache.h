// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <compare>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <vector>

#include "util/clock.h"
#include "util/digest.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"
#include "util/sync.h"

namespace swarmfs::content {

/// Inflated spans in memory, least recently used out first, with one flight per span. Any thread.
class SpanCache {
 public:
  struct Key {
    util::Digest layer;
    uint64_t generation = 0;  ///< see Standing::generation()
    size_t span = 0;
    auto operator<=>(const Key&) const = default;
  };
  using OnSpan = std::function<void(const util::Outcome<util::SharedBytes>&)>;

  explicit SpanCache(uint64_t capacity) : capacity_(capacity) {}
  std::optional<util::SharedBytes> find(const Key& key);
  /// A hit is given at once (true, `hit` set). Else `on_span` waits, for as long as the caller
  /// wants it: until `deadline`; true in `first` means that the caller must bring the span and then
  /// call finish().
  struct Join {
    std::optional<util::SharedBytes> hit;
    bool first = false;
  };
  Join join(const Key& key, util::SteadyTime deadline, OnSpan on_span);
  /// The last deadline of those who wait for it.
  [[nodiscard]] util::SteadyTime wanted_until(const Key& key) const;
  void finish(const Key& key, const util::Outcome<util::SharedBytes>& outcome);

 private:
  struct Entry {
    util::SharedBytes bytes;
    std::list<Key>::iterator place;
  };
  struct Flight {
    std::vector<OnSpan> waiting;
    util::SteadyTime deadline{};
  };
  struct State {
    std::map<Key, Entry> entries;
    std::list<Key> order;  ///< most recently used first
    std::map<Key, Flight> flights;
    uint64_t bytes = 0;
  };
  static std::optional<util::SharedBytes> find_locked(State& state, const Key& key);

  const uint64_t capacity_;
  util::Sync<State> state_;
};

}  // namespace swarmfs::content
