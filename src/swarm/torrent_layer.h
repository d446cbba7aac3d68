// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "chunk/store.h"
#include "swarm/availability.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::swarm {

/// A sealed layer as its torrent sees it, and where the torrent's parts (session, disk, guard) and
/// those who wait for its pieces meet. Pieces are chunks. Any thread; calls nobody but waiters, and
/// those on a worker.
class TorrentLayer {
 public:
  /// The whole piece, checked; or why it will not come. On the worker's thread.
  using OnPiece = std::function<void(util::Outcome<util::SharedBytes>)>;

  /// `tree`: of the layer's size, which is not zero. `deliveries` has one thread, which waiters are
  /// called on, and outlives this.
  TorrentLayer(chunk::LayerRef ref, std::shared_ptr<const chunk::HashTree> tree,
               std::shared_ptr<chunk::StoredLayer> stored, std::string info,
               util::Workers& deliveries);

  [[nodiscard]] const chunk::LayerRef& ref() const { return ref_; }
  [[nodiscard]] const std::shared_ptr<const chunk::HashTree>& tree() const { return tree_; }
  [[nodiscard]] chunk::StoredLayer& stored() const { return *stored_; }
  /// See info_dict().
  [[nodiscard]] const std::string& info() const { return info_; }

  [[nodiscard]] uint32_t pieces() const { return pieces_; }
  [[nodiscard]] util::ByteRange bytes_of(uint32_t piece) const;
  [[nodiscard]] chunk::BlockRange blocks_of(uint32_t piece) const;
  [[nodiscard]] uint32_t piece_at(uint64_t offset) const;

  /// Who of the connected peers has which piece.
  Availability availability;

  /// What other nodes were told that we have.
  [[nodiscard]] bool told(uint32_t piece) const { return (*told_.lock())[piece]; }
  [[nodiscard]] std::vector<uint32_t> untold() const;
  /// True: it was not before.
  bool tell(uint32_t piece);
  /// It cannot give what it told that it has, or cannot keep what comes: the torrent has to be made
  /// anew.
  [[nodiscard]] bool broken() const { return broken_; }
  void set_broken() { broken_ = true; }

  /// `on_piece` is called once, unless forgotten before. Returns an id; 0 where all has ended: it
  /// is not called.
  uint64_t await(uint32_t piece, chunk::Class cls, OnPiece on_piece);
  /// A waiter that does not want it now: the piece is asked for by others' waiters only.
  void hold(uint64_t waiter, bool held);
  void forget(uint64_t waiter);
  /// The most urgent class that the piece is awaited with; empty: not awaited.
  [[nodiscard]] std::optional<chunk::Class> awaited(uint32_t piece) const;
  /// Pieces that are awaited.
  [[nodiscard]] std::vector<uint32_t> awaited() const;
  /// Hands the piece, or the failure, to all who wait for it.
  void came(uint32_t piece, const util::Outcome<util::SharedBytes>& bytes);
  /// Fails all who wait. Once it has returned `deliveries` is given nothing more: what the store
  /// still reads for waiters may come after its end.
  void end(const util::Failure& failure);

 private:
  struct Waiter {
    uint32_t piece = 0;
    chunk::Class cls = chunk::Class::backfill;
    bool held = false;
    OnPiece on_piece;
  };
  struct Waiters {
    bool ended = false;
    uint64_t next = 1;
    std::map<uint64_t, Waiter> by_id;
  };
  /// Under the lock, so that nothing is posted after end().
  void deliver(OnPiece on_piece, const util::Outcome<util::SharedBytes>& bytes);

  const chunk::LayerRef ref_;
  const std::shared_ptr<const chunk::HashTree> tree_;
  const std::shared_ptr<chunk::StoredLayer> stored_;
  const std::string info_;
  util::Workers& deliveries_;
  const uint64_t piece_size_;
  const uint32_t pieces_;
  util::Sync<std::vector<bool>> told_;
  std::atomic<bool> broken_{false};
  util::Sync<Waiters> waiters_;
};

/// Hands a piece that is in the store to who awaits it, if anybody does.
void give_from_store(const std::shared_ptr<TorrentLayer>& layer, uint32_t piece);

}  // namespace swarmfs::swarm
