// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunk/fetch_context.h"
#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "chunk/source.h"
#include "chunk/store.h"
#include "util/metrics.h"
#include "util/operation.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"
#include "util/sync.h"
#include "util/timers.h"

namespace swarmfs::fetch {

struct FetchOptions {
  std::chrono::milliseconds fault_timeout{30'000};
  std::chrono::milliseconds bulk_timeout{120'000};  ///< of one bulk request, retries included
  std::chrono::milliseconds quiet{200};  ///< after the last fault, before backfill goes on
  uint64_t request_size = 2 << 20;       ///< of backfill
  unsigned backfill_transfers = 3;
  unsigned pull_transfers = 6;
};

struct Brain;

/// A layer that is being read. Made by Fetcher::open(), one per digest and form. Thread-safe.
class Layer {
 public:
  Layer(chunk::LayerRef ref, std::shared_ptr<chunk::StoredLayer> stored);
  ~Layer();
  [[nodiscard]] const chunk::LayerRef& ref() const { return ref_; }
  [[nodiscard]] chunk::StoredLayer& stored() const { return *stored_; }
  /// Bytes given to readers or brought in, since start, by source.
  [[nodiscard]] std::map<std::string, uint64_t> bytes_by_source() const;
  /// From now on this node trusts the tree's root. Null: it trusts none, the layer is provisional
  /// again (a claim was wrong).
  void seal(std::shared_ptr<const chunk::HashTree> tree);
  [[nodiscard]] bool sealed() const { return tree() != nullptr; }
  [[nodiscard]] std::shared_ptr<const chunk::HashTree> tree() const { return *tree_.lock(); }

 private:
  friend struct Brain;
  struct Flights;
  const chunk::LayerRef ref_;
  const std::shared_ptr<chunk::StoredLayer> stored_;
  std::array<std::atomic<uint64_t>, 3> by_source_{};
  util::Sync<std::shared_ptr<const chunk::HashTree>> tree_;
  std::unique_ptr<Flights> flights_;  ///< guarded by the brain's lock
};

/// The brain: whom to ask for bytes, in which order, each byte once. One flight per block; classes
/// fault > pull > prefetch > backfill: while a fault waits, prefetch and backfill stand still.
/// Every read ends in data or a Failure within its deadline. Any thread.
class Fetcher {
 public:
  using OnRead = std::function<void(util::Outcome<util::SharedBytes>)>;
  using OnDone = std::function<void(util::Outcome<util::Done>)>;

  Fetcher(chunk::Store& store, std::vector<chunk::Source*> sources, FetchOptions options,
          util::Timers& timers, util::Metrics& metrics);
  ~Fetcher();
  /// Ends all flights: the reads under way and those to come fail with Fault::cancelled.
  void stop();

  /// Throws what chunk::Store::open throws. A known layer takes the new origins in.
  [[nodiscard]] std::shared_ptr<Layer> open(const chunk::LayerRef& ref,
                                            chunk::Form form = chunk::Form::bytes);
  /// A hit without waiting; see chunk::StoredLayer.
  bool try_read_now(Layer& layer, util::ByteRange range, std::byte* into);
  /// The range must lie in the layer. `on_read` runs on a source's, the store's or the timer's
  /// thread, or inside read(), and must be short.
  [[nodiscard]] util::Operation read(std::shared_ptr<Layer> layer, util::ByteRange range,
                                     chunk::FetchContext context, OnRead on_read);
  /// Brings in all that is missing, in order, as class pull or backfill. Fault::no_space when the
  /// quota does not allow it. The operation stops it.
  [[nodiscard]] util::Operation bring_in(std::shared_ptr<Layer> layer, chunk::Class cls,
                                         OnDone on_done);
  [[nodiscard]] std::map<std::string, uint64_t> bytes_by_source() const;

 private:
  std::shared_ptr<Brain> brain_;
};

}  // namespace swarmfs::fetch
