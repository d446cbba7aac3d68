// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <libtorrent/fwd.hpp>
#include <libtorrent/io_context.hpp>
#include <memory>

#include "util/sync.h"

namespace swarmfs::swarm {

/// The store's callbacks that have yet to return. What they post to keeps running for each, and
/// must not be freed before the last one has let go of it: wait(), once it has stopped. Any thread.
class StoreCalls : public std::enable_shared_from_this<StoreCalls> {
 public:
  /// Stands for one callback, which holds it for as long as it lives.
  [[nodiscard]] std::shared_ptr<void> begin(lt::io_context& network);
  void wait();

 private:
  struct Call;
  util::Sync<size_t> count_;
  std::condition_variable none_;
};

}  // namespace swarmfs::swarm
