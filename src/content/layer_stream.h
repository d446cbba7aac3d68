// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>
#include <future>
#include <memory>

#include "fetch/fetcher.h"

namespace swarmfs::content {

/// Reads a layer's bytes in order, keeping several requests under way. Blocking; one thread.
class LayerStream {
 public:
  /// `no_peers`: only the cache and the registry may supply it.
  LayerStream(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer, chunk::Class cls,
              bool no_peers = false);
  /// The next piece; empty at the end.
  util::Outcome<util::SharedBytes> next();

 private:
  struct Pending {
    util::Operation operation;
    std::shared_ptr<std::promise<util::Outcome<util::SharedBytes>>> promise;
  };
  void fill();

  fetch::Fetcher& fetcher_;
  std::shared_ptr<fetch::Layer> layer_;
  const chunk::FetchContext context_;
  uint64_t asked_ = 0;
  std::deque<Pending> pending_;
};

}  // namespace swarmfs::content
