// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "chunk/store.h"
#include "util/sync.h"

namespace swarmfs::cache {

/// What a sequential reader of one layer will ask for next, read from the disk before it asks: the
/// kernel keeps one request of a file under way, and a disk is faster with two. Any thread.
class Lookahead {
 public:
  using OnRead = chunk::StoredLayer::OnRead;
  /// How many requests are read before they are asked for.
  static constexpr size_t kDepth = 2;

  /// A range on its way, or here and not yet asked for.
  class Entry {
   public:
    explicit Entry(util::ByteRange range) : range_(range) {}
    [[nodiscard]] util::ByteRange range() const { return range_; }
    /// The disk's answer; once.
    void arrive(util::Outcome<util::SharedBytes> outcome);
    /// Calls back with the answer, now or when it comes; once.
    void wait(OnRead on_read);

   private:
    struct State {
      std::optional<util::Outcome<util::SharedBytes>> outcome;
      OnRead on_read;
    };
    const util::ByteRange range_;
    util::Sync<State> state_;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  /// Notes that `range` of a layer of `size` bytes is asked for. `hit`: it was read ahead, and is
  /// the caller's now; its Fault::not_found says nothing of what is on the disk by now. `wanted`:
  /// ranges to read next, each to be answered by arrive().
  struct Answer {
    EntryPtr hit;
    std::vector<EntryPtr> wanted;
  };
  [[nodiscard]] Answer on_read(util::ByteRange range, uint64_t size);
  /// Forgets what was read: the bytes on the disk are gone.
  void clear();

 private:
  struct State {
    uint64_t next = UINT64_MAX;  ///< where a sequential reader goes on
    std::deque<EntryPtr> entries;
  };
  util::Sync<State> state_;
};

}  // namespace swarmfs::cache
