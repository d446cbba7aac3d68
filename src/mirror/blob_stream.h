// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "fetch/fetcher.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// Reads a range of a blob in order, as class pull, with some requests under way ahead of the
/// reader. Blocking; one thread.
class BlobStream {
 public:
  static constexpr uint64_t kPiece = 256 * 1024;

  /// Pieces that may be under way at once, > 0. Any thread; called again and again.
  using Window = std::function<size_t()>;

  /// It begins with two pieces, and has one more under way with each that is taken, up to `window`:
  /// who takes none has no more than two held for him.
  BlobStream(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> blob, util::ByteRange range,
             Window window);
  /// The next piece; empty at the end. Fault::timed_out: it did not come within `patience`; later
  /// perhaps.
  util::Outcome<util::SharedBytes> next(std::chrono::milliseconds patience);

 private:
  struct Pending {
    uint64_t offset = 0;
    util::Operation operation;
  };
  using Answers = std::map<uint64_t, util::Outcome<util::SharedBytes>>;
  void fill();

  fetch::Fetcher& fetcher_;
  const std::shared_ptr<fetch::Layer> blob_;
  const uint64_t end_;
  const Window window_;
  size_t ahead_ = 2;  ///< pieces, as far as the window goes
  uint64_t asked_;
  util::Sync<Answers> answers_;
  std::condition_variable answered_;
  std::deque<Pending> pending_;  ///< last: nothing calls back once it is gone
};

}  // namespace swarmfs::mirror
