// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "cache/layer_files.h"
#include "cache/lookahead.h"
#include "cache/suspects.h"
#include "chunk/store.h"
#include "io/queue.h"
#include "util/error.h"
#include "util/sync.h"

namespace swarmfs::cache {

/// What a layer needs from the cache around it. Any thread.
class Budget {
 public:
  virtual ~Budget() = default;
  /// Takes `bytes` from the quota, or refuses; starts eviction when it runs short.
  virtual bool reserve(uint64_t bytes, chunk::Class cls) = 0;
  virtual void give_back(uint64_t bytes) = 0;
  /// The disk refused something: told to the user, once for many.
  virtual void disk_failed(const util::SysError& error) = 0;
  /// The disk was too full for `bytes`: evicts, if that is what it takes, and says on a worker
  /// whether there is room now. False: nobody will be told, the cache is closing.
  virtual bool make_room(uint64_t bytes, chunk::Class cls, std::function<void(bool)> then) = 0;
  /// Runs `job` on a worker before those that can wait.
  virtual void check(std::function<void()> job) = 0;
  /// Blocks that the disk gives back wrong.
  virtual void count_wrong(uint64_t blocks) = 0;
};

/// One layer of the chunk cache.
///
/// Presence bits and the lease counter of each 1 MiB extent are atomics, so a hit takes no lock.
/// The rule between users and evictor, all sequentially consistent: a user raises the lease, then
/// looks at bits (reader) or the evicting flag (writer); the evictor raises the flag, clears the
/// bits, then looks at the leases, and puts the bits back when it sees one.
///
/// Nothing here throws because a disk is full or broken: the Budget is told, what was not saved is
/// tried again by each sync(), and bits on the disk never claim more than is there.
class CachedLayer final : public chunk::StoredLayer,
                          public std::enable_shared_from_this<CachedLayer> {
 public:
  static constexpr uint64_t kExtent = 1 << 20;
  static_assert(kExtent == 64 * chunk::kBlockSize, "an extent is a word of bits");

  /// `suspect`: what is present must be checked before use (see chunk::StoredLayer::trust).
  CachedLayer(LayerFiles files, io::Queue& queue, Budget& budget, bool suspect = false);

  const util::Digest& digest() const override { return digest_; }
  uint64_t size() const override { return size_; }
  bool has(chunk::BlockRange blocks) const override;
  std::vector<chunk::BlockRange> missing(chunk::BlockRange blocks) const override;
  uint64_t bytes_present() const override;
  bool try_read_now(util::ByteRange range, std::byte* into) override;
  void read(util::ByteRange range, OnRead on_read) override;
  void write(chunk::BlockIndex first, util::SharedBytes bytes, chunk::Class cls,
             OnWritten on_written) override;
  void trust(std::shared_ptr<const chunk::HashTree> tree) override;
  void suspect(chunk::BlockRange blocks) override;
  bool verified() const override { return verified_; }
  void mark_verified() override;
  void discard() override;
  void set_pinned(bool pinned) override;

  [[nodiscard]] chunk::Form form() const { return form_; }
  /// Bytes that its present blocks take from the quota.
  [[nodiscard]] uint64_t cost() const { return present_ * chunk::kBlockSize; }
  [[nodiscard]] bool pinned() const { return pinned_; }
  [[nodiscard]] bool has_suspects() const { return suspects_.count() > 0; }
  /// Lets go of the buffers of what was read ahead; before the queue goes, which owns them.
  void forget_read_ahead() { lookahead_.clear(); }
  /// Blocking: makes what was written durable, then its bits. False: the disk refused, and what was
  /// written since the last time is suspect.
  bool sync();

  /// Blocking: all of the layer from `file`, which has its bytes and becomes as long as the layer's
  /// own file is; the two share their blocks on the disk (FICLONERANGE). What is on its way here
  /// stays so. Durable afterwards, unless the disk refuses. Fault::no_space: the quota does not
  /// take what was missing (for a moment: all of it); Fault::unavailable: some of it is being
  /// evicted, or the disk refuses.
  util::Outcome<util::Done> share(int file);
  [[nodiscard]] uint64_t size_on_disk() const { return (size_ + kPage - 1) / kPage * kPage; }

  /// Takes its files away; for one that holds nothing and that nobody can open any more. Throws
  /// util::SysError.
  void remove_files() { files_.lock()->remove(); }

  struct Candidate {
    uint32_t last_use = 0;
    size_t extent = 0;
    uint64_t bytes = 0;
  };
  /// Extents that take disk space and have no lease; none while pinned.
  [[nodiscard]] std::vector<Candidate> candidates() const;
  /// Blocking. Drops what of `extents` is still without a lease; returns bytes freed. What the disk
  /// does not let go of stays.
  uint64_t evict(const std::vector<size_t>& extents);

 private:
  struct Extent {
    std::atomic<uint32_t> leases{0};
    std::atomic<uint32_t> last_use{0};
    std::atomic<bool> evicting{false};
    std::atomic<bool> spoiled{false};  ///< a write that failed left bytes that no bit tells of
  };
  static constexpr uint64_t kPage = io::BufferPool::kAlignment;  ///< of direct reads and writes
  struct Cleared {
    size_t extent = 0;
    uint64_t bits = 0;
  };
  class Lease;
  struct Write;

  [[nodiscard]] bool is_set(uint64_t block) const;
  bool set(uint64_t block);
  bool clear(uint64_t block);
  [[nodiscard]] std::vector<uint64_t> snapshot() const;
  void start_read(util::ByteRange range, std::shared_ptr<Lease> lease, OnRead on_read);
  void read_suspects(util::ByteRange range, std::shared_ptr<Lease> lease, Suspects::Check check,
                     OnRead on_read);
  bool pass(const Suspects::Check& check, util::ByteRange range, util::ByteView bytes);
  void read_from_disk(util::ByteRange range, OnRead on_read);
  void read_ahead(const Lookahead::EntryPtr& entry);
  void start_write(std::shared_ptr<Write> write);
  void on_write_failed(std::shared_ptr<Write> write, int code);
  void give_up(Write& write, int code);
  void end_write(Write& write);
  void doubt_unsynced(const LayerFiles::Facts& durable);
  bool save_bits(LayerFiles& files);
  // How what it holds goes (eviction.cpp).
  uint64_t drop(const std::vector<size_t>& extents, bool anyway);
  std::vector<Cleared> clear_extents(const std::vector<size_t>& extents);
  void put_back(const std::vector<Cleared>& cleared);
  bool forget_bits(LayerFiles& files);
  void punch(LayerFiles& files, size_t extent);

  const util::Digest digest_;
  const chunk::Form form_;
  const uint64_t size_;
  io::Queue& queue_;
  Budget& budget_;
  std::vector<std::atomic<uint64_t>> bits_;
  Suspects suspects_;
  std::vector<Extent> extents_;
  std::atomic<uint64_t> present_{0};  ///< blocks
  std::atomic<bool> verified_{false};
  std::atomic<bool> pinned_{false};
  std::atomic<bool> dirty_{false};
  int buffered_, direct_;
  Lookahead lookahead_;
  util::Sync<LayerFiles> files_;  ///< leaf lock; held over disk syncs
};

}  // namespace swarmfs::cache
