// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/block.h"
#include "chunk/fetch_context.h"
#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "util/digest.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"

namespace swarmfs::chunk {

/// Bytes of one layer as a Store holds them. Thread-safe; lives as long as somebody holds it.
/// While it is held the layer counts as open: bulk classes never evict it (see may_hold).
class StoredLayer {
 public:
  using OnRead = std::function<void(util::Outcome<util::SharedBytes>)>;
  using OnWritten = std::function<void(util::Outcome<util::Done>)>;

  virtual ~StoredLayer() = default;
  [[nodiscard]] virtual const util::Digest& digest() const = 0;
  [[nodiscard]] virtual uint64_t size() const = 0;

  /// Presence now; it may change at once by eviction or commit.
  [[nodiscard]] virtual bool has(BlockRange blocks) const = 0;
  /// The absent runs inside `blocks`, ascending.
  [[nodiscard]] virtual std::vector<BlockRange> missing(BlockRange blocks) const = 0;
  [[nodiscard]] virtual uint64_t bytes_present() const = 0;

  /// A hit without waiting: copies the range to `into` (same length) if every block is present and
  /// the bytes come without I/O (preadv2 RWF_NOWAIT). False: nothing was read, use read(). Counts
  /// as use. Holds a lease while it copies.
  [[nodiscard]] virtual bool try_read_now(util::ByteRange range, std::byte* into) = 0;

  /// Reads present bytes through io_uring under a lease. Fault::not_found when a block is absent
  /// (evicted meanwhile, or suspect and wrong): fetch it again. `on_read` runs on the store's I/O
  /// thread or a worker, must be short, and may run inside read() on an early failure. A bad disk
  /// is Fault::unavailable.
  virtual void read(util::ByteRange range, OnRead on_read) = 0;

  /// A transaction: the whole blocks of `bytes` (starting at block `first`; only the layer's last
  /// block may be short) become visible together when `on_written` says Done, and survive a crash
  /// once they are durable. Fault::no_space: quota or disk full and nothing evictable, the caller
  /// serves without caching. `on_written` runs on the store's I/O thread, a worker or inside
  /// write().
  virtual void write(BlockIndex first, util::SharedBytes bytes, Class cls,
                     OnWritten on_written) = 0;

  /// The tree that the layer's blocks must match; null takes it away. Blocks written from now on
  /// were checked by the writer. Those that are *suspect* - all that were present at start when the
  /// last stop was not clean, and those of suspect() - are checked by read() before it hands them
  /// out: a wrong one is dropped, logged and counted. try_read_now() is false for them. Without a
  /// tree suspect blocks are read like others, and stay suspect, also across a restart.
  virtual void trust(std::shared_ptr<const HashTree> tree) = 0;
  /// Check these blocks before they are read again.
  virtual void suspect(BlockRange blocks) = 0;

  /// The whole layer matched its digest (true) or it did not and all bytes were dropped (discard).
  [[nodiscard]] virtual bool verified() const = 0;
  /// Ends all suspicion. Like the next two it counts at once, and is durable when it returns or, if
  /// the disk refuses, as soon as that takes it.
  virtual void mark_verified() = 0;
  /// Drops all bytes. Readers under lease finish first.
  virtual void discard() = 0;
  /// Never evict while set (mounted and pinned).
  virtual void set_pinned(bool pinned) = 0;
};

struct StoreUsage {
  uint64_t bytes = 0;    ///< present bytes of all layers
  uint64_t quota = 0;    ///< limit for `bytes`
  uint64_t most = 0;     ///< as far as `bytes` can grow now: the quota, or less on a smaller disk
  uint64_t evicted = 0;  ///< bytes evicted since start
  uint64_t layers = 0;
  std::string trouble = {};  ///< what the disk refuses now, and the way out; empty: nothing
};

/// The chunk cache as the rest of the program sees it. Thread-safe.
class Store {
 public:
  virtual ~Store() = default;
  /// The layer's bytes, existing or fresh. One StoredLayer per (digest, form) is shared by all
  /// callers. Throws util::SysError when the disk has no place for the file even of an empty layer,
  /// util::Error when `size` contradicts what is stored.
  [[nodiscard]] virtual std::shared_ptr<StoredLayer> open(const util::Digest& digest, uint64_t size,
                                                          Form form = Form::bytes) = 0;
  /// Size of a layer that is stored here, known without the registry.
  [[nodiscard]] virtual std::optional<uint64_t> size_of(const util::Digest& digest) const = 0;
  /// Every layer (Form::bytes) that has a file here.
  [[nodiscard]] virtual std::vector<util::Digest> layers() const = 0;
  [[nodiscard]] virtual StoreUsage usage() const = 0;
  /// Whether `bytes` more of this class may be kept: fault and pull evict anything that is not
  /// leased, pinned or in flight; prefetch and backfill only layers that nobody has open.
  [[nodiscard]] virtual bool may_hold(uint64_t bytes, Class cls) const = 0;
  /// Drops the bytes of every layer that is not leased or pinned; keeps documents (indexes) and
  /// windows, without which an index is worth little. For want of room, too, those of layers in use
  /// go last of all.
  virtual uint64_t evict_all() = 0;

  /// Small documents beside the layers (indexes, manifests, state), replaced durably, by name:
  /// [a-z0-9._-]+ with at most one '/'. Blocking. What the disk refuses waits in memory, is given
  /// by load_document(), and saved when the disk takes it; it is lost where the program ends
  /// before.
  virtual void save_document(const std::string& name, util::ByteView content) = 0;
  [[nodiscard]] virtual std::optional<util::Bytes> load_document(const std::string& name) const = 0;
  virtual void remove_document(const std::string& name) = 0;
  /// Names of documents that start with `prefix`.
  [[nodiscard]] virtual std::vector<std::string> documents(const std::string& prefix) const = 0;
};

}  // namespace swarmfs::chunk
