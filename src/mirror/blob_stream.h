// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <deque>
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

  /// `window`: pieces under way at once, > 0.
  BlobStream(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> blob, util::ByteRange range,
             size_t window);
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
  const size_t window_;
  uint64_t asked_;
  util::Sync<Answers> answers_;
  std::condition_variable answered_;
  std::deque<Pending> pending_;  ///< last: nothing calls back once it is gone
};

}  // namespace swarmfs::mirror
