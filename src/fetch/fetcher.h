// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunk/fetch_context.h"
#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "chunk/source.h"
#include "chunk/store.h"
#include "fetch/held_block.h"
#include "fetch/touch_log.h"
#include "util/link_gauge.h"
#include "util/metrics.h"
#include "util/operation.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"
#include "util/sync.h"
#include "util/timers.h"

namespace swarmfs::fetch {

struct FetchOptions {
  std::chrono::milliseconds fault_timeout{30'000};
  /// Of one bulk request, or of a read that is no fault, retries included. It is given as long
  /// again while its registry gives bulk, or others of the same bring_in() come: five times at
  /// most.
  std::chrono::milliseconds bulk_timeout{120'000};
  std::chrono::milliseconds quiet{200};  ///< after the last fault, before backfill goes on
  /// After a fault, or a layer's first backfill, the next faults are near for so long.
  std::chrono::milliseconds faults_near{5'000};
  uint64_t request_size = 2 << 20;  ///< of backfill
  /// How many of `request_size` are under way at once; of those that a source's plan cut short, as
  /// many more as are as many bytes.
  unsigned backfill_transfers = 3;
  unsigned pull_transfers = 6;
  /// Bytes per second that backfill asks for, of all layers and from anywhere; 0: no limit. Nor is
  /// there one for a layer that is given only from its beginning on, once a request of it was made.
  uint64_t backfill_rate = 0;
  /// Where in a layer's windows bulk begins, [0, 1) (blocks_at): another place on every node.
  double turn = 0;
  /// Is told of what comes.
  std::shared_ptr<util::LinkGauge> link = std::make_shared<util::LinkGauge>();
};

struct Brain;
struct LayerState;

/// A layer that is being read. Made by Fetcher::open(), one per digest and form. Thread-safe.
///
/// Provisional at first: bytes are taken as a source gives them, and it is remembered which peer
/// gave which. Sealed once a tree is trusted: every block that comes is checked before anybody sees
/// it; a wrong one is its supplier's blame, once nobody else's word stands for the tree, and
/// another source is asked; the registry a second time.
class Layer {
 public:
  Layer(chunk::LayerRef ref, std::shared_ptr<chunk::StoredLayer> stored,
        std::shared_ptr<LayerState> state, std::weak_ptr<Brain> brain);
  ~Layer();
  /// Digest, size, and the origins that it was first opened with.
  [[nodiscard]] const chunk::LayerRef& ref() const { return ref_; }
  /// With all origins that it was ever opened with, in that order.
  [[nodiscard]] chunk::LayerRef with_origins() const;
  [[nodiscard]] chunk::StoredLayer& stored() const { return *stored_; }
  /// All of it is here, right or not.
  [[nodiscard]] bool is_whole() const;
  /// Bytes given to readers or brought in, since start, by source. Of a sealed layer only those
  /// that were right.
  [[nodiscard]] std::map<std::string, uint64_t> bytes_by_source() const;
  /// In whose names it was opened since nothing of it was here: what is here came in these. Empty:
  /// not known.
  [[nodiscard]] std::optional<std::set<chunk::Origin>> came_for() const;
  /// Whoever was asked last for what is missing gives it only from the layer's beginning on.
  [[nodiscard]] bool front_to_back() const { return front_to_back_; }
  /// What readers wait for, and in which order.
  [[nodiscard]] TouchLog& touch_log() { return touch_log_; }

  /// From here on the layer's blocks must match `tree`, of the layer's size. What came while it was
  /// provisional is made good before this returns: peers' blocks that are wrong are never read
  /// again and their suppliers are blamed, or, by another node's word, not asked for the layer
  /// until it is known who is wrong; the registry's are checked when they are next read
  /// (StoredLayer::suspect), unless the stored layer is verified: mark it so first where it was
  /// hashed here. Blocks of an earlier run of the program are taken as they are: who seals with a
  /// tree that was not kept beside them suspects them as well. Null: the tree was wrong, the layer
  /// is provisional again. `claimant`: the node by whose word it is; empty: this one. Waits for a
  /// disk write at most; not on a source's, the store's or the timer's thread.
  void seal(std::shared_ptr<const chunk::HashTree> tree, const std::string& claimant = {});
  [[nodiscard]] bool sealed() const { return tree() != nullptr; }
  /// Sealed by another node's word alone: what is here may be nothing of the layer's.
  [[nodiscard]] bool claimed() const;
  /// Sealed by what this node hashed: what is here is the layer's.
  [[nodiscard]] bool sealed_by_us() const;
  /// Null while provisional.
  [[nodiscard]] std::shared_ptr<const chunk::HashTree> tree() const;
  /// The bytes do not match the layer's digest: drops them all and the tree; provisional again.
  /// Peers that gave some of them are named in log and metric; a single one is blamed, of several
  /// the next seal() tells who lied, and until then only the registry is asked. Reads under way
  /// begin again. Blocking, as StoredLayer::discard; threads as of seal().
  void discard(const std::string& why);
  /// How often that was done: who sees another number than before may have read what was dropped.
  [[nodiscard]] unsigned discards() const;

 private:
  friend struct Brain;
  const chunk::LayerRef ref_;
  util::Sync<std::vector<chunk::Origin>> origins_;
  const std::shared_ptr<chunk::StoredLayer> stored_;
  std::array<std::atomic<uint64_t>, 3> by_source_{};
  std::atomic<bool> front_to_back_ = false;
  TouchLog touch_log_;
  const std::shared_ptr<LayerState> state_;  ///< shared by all Layers of the digest and form
  const std::weak_ptr<Brain> brain_;
};

/// The brain: whom to ask for bytes, in which order, each byte once. One flight per block; classes
/// fault > pull > prefetch > backfill: while a fault waits, backfill stands still. Of the
/// sources the first that can (chunk::Source::plan) is asked; the next one after a failure, wrong
/// bytes or, beside it, a silence; the first whole block decides. Asked for a peer
/// (FetchContext::for_peer) it neither asks peers nor waits for what they bring. Every read ends in
/// data or a Failure within its deadline. Any thread.
class Fetcher {
 public:
  using OnRead = std::function<void(util::Outcome<util::SharedBytes>)>;
  using OnDone = std::function<void(util::Outcome<util::Done>)>;

  /// `sources` in the order of preference; they outlive the transfers, so stop() before they go.
  Fetcher(chunk::Store& store, std::vector<chunk::Source*> sources, FetchOptions options,
          util::Timers& timers, util::Metrics& metrics);
  ~Fetcher();
  /// Ends all flights: the reads under way and those to come fail with Fault::cancelled.
  void stop();

  /// Throws what chunk::Store::open throws. A known layer takes the new origins in.
  [[nodiscard]] std::shared_ptr<Layer> open(const chunk::LayerRef& ref);
  /// The same, where nothing of it is, or is about to be, here in other names than the reference's
  /// and these; else null. Blocking: a provisional part that nobody has with an origin is dropped.
  [[nodiscard]] std::shared_ptr<Layer> open_alone(const chunk::LayerRef& ref,
                                                  const std::set<chunk::Origin>& others = {});
  /// As Layer::came_for().
  [[nodiscard]] std::optional<std::set<chunk::Origin>> came_for(const chunk::LayerRef& ref) const;
  /// See fetch/held_block.h: the block that whoever says to hold the layer is asked for, the same
  /// one for all, as long as this lives. Blocking.
  [[nodiscard]] util::Outcome<std::optional<HeldBlock>> held_block(const Layer& layer) const;
  /// Of FetchOptions, for the reads to come.
  void set_fault_timeout(std::chrono::milliseconds timeout);
  /// Likewise, from now on.
  void set_backfill_rate(uint64_t bytes_per_second);
  /// A hit without waiting; see chunk::StoredLayer.
  bool try_read_now(Layer& layer, util::ByteRange range, std::byte* into);
  /// Bytes that somebody read of what is kept beside the layer, its data space: they came from the
  /// cache as well.
  void count_hit(Layer& layer, chunk::Class cls, uint64_t bytes);
  /// The range must lie in the layer. `on_read` runs on a source's, the store's or the timer's
  /// thread, or inside read(), and must be short.
  [[nodiscard]] util::Operation read(std::shared_ptr<Layer> layer, util::ByteRange range,
                                     chunk::FetchContext context, OnRead on_read);
  /// Brings in all that is missing, in the order of blocks_at(), as class pull or backfill; done
  /// when no block of the layer is on its way any more and all that came is in the store.
  /// Fault::no_space when the quota does not allow it. The operation stops it.
  [[nodiscard]] util::Operation bring_in(std::shared_ptr<Layer> layer, chunk::Class cls,
                                         OnDone on_done);
  /// Blocks on their way from the registry, or in line for it since a peer asked for them,
  /// ascending: who asks for them for a peer joins.
  [[nodiscard]] std::vector<chunk::BlockRange> coming(const Layer& layer) const;
  /// Whether one more request of peers' bulk may stand in line for the registry: where those in
  /// line are less than SharePace::kTurnsInLine times what is asked of it at once.
  [[nodiscard]] bool may_relay() const;
  [[nodiscard]] std::map<std::string, uint64_t> bytes_by_source() const;

 private:
  std::shared_ptr<Brain> brain_;
};

}  // namespace swarmfs::fetch
