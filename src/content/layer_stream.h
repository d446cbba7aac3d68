// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>

#include "fetch/fetcher.h"

namespace swarmfs::content {

/// Reads a layer's bytes in order, keeping several requests under way. Blocking; one thread.
class LayerStream {
 public:
  LayerStream(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer,
              chunk::FetchContext context);
  /// The next piece; empty at the end. A piece that does not come is a failure after
  /// FetchOptions::bulk_timeout.
  util::Outcome<util::SharedBytes> next();
  /// Whether what next() asks for is all in the cache.
  [[nodiscard]] bool next_is_here() const;
  /// Any thread: next() gives Fault::cancelled, also where it waits now.
  void stop();

 private:
  struct Pending {
    uint64_t offset = 0;
    util::Operation operation;
  };
  struct Answers {
    std::map<uint64_t, util::Outcome<util::SharedBytes>> by_offset;
    bool stopped = false;
  };
  void fill();

  fetch::Fetcher& fetcher_;
  std::shared_ptr<fetch::Layer> layer_;
  const chunk::FetchContext context_;
  uint64_t asked_ = 0;
  util::Sync<Answers> answers_;
  std::condition_variable answered_;
  std::deque<Pending> pending_;  ///< last: nothing calls back once it is gone
};

}  // namespace swarmfs::content
