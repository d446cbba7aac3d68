// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <variant>

#include "cache/allowance.h"
#include "cache/cached_layer.h"
#include "cache/disk_trouble.h"
#include "cache/documents.h"
#include "chunk/store.h"
#include "io/queue.h"
#include "util/metrics.h"
#include "util/sync.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::cache {

struct CacheOptions {
  std::filesystem::path directory;
  uint64_t quota = 20'000'000'000;
  double high_watermark = 0.95;  ///< of the quota: eviction starts
  double low_watermark = 0.85;   ///< of the quota: eviction stops
  std::chrono::milliseconds sync_interval{1000};
};

/// How a file's bytes came into the cache: they were there; share their blocks; were copied.
enum class Adopted { before, shared, copied };

/// The chunk cache: a Store on disk. Data is durable before its bit is: what was written is synced
/// every `sync_interval`, then its bits; a crash loses at most that interval and never lies. What a
/// disk lost in spite of that is found out: a file "clean" is there only while no daemon runs and
/// the last one ended well; without it every block is suspect (see chunk::StoredLayer::trust).
/// A disk that is full, whatever the quota says, is met as the quota is: the oldest bytes are
/// evicted and the write is tried once more; else what is read is not kept, and documents wait in
/// memory. Told once (DiskTrouble), and over by itself when there is room again.
/// Threads: handlers on the io queue's thread, syncs and eviction on workers, documents on their
/// caller's.
/// Locks: wanting_ → jobs_; making_room_ → layers_; CachedLayer::files_ and those of Documents are
/// leaves held over the disk.
class ChunkCache final : public chunk::Store, private Budget {
 public:
  /// Throws util::Error when another daemon uses the directory, SysError when the disk refuses.
  ChunkCache(CacheOptions options, util::Timers& timers, util::Workers& workers,
             util::Metrics& metrics);
  ~ChunkCache() override;

  std::shared_ptr<chunk::StoredLayer> open(const util::Digest& digest, uint64_t size,
                                           chunk::Form form) override;
  std::optional<uint64_t> size_of(const util::Digest& digest) const override;
  std::vector<util::Digest> layers() const override;
  chunk::StoreUsage usage() const override;
  bool may_hold(uint64_t bytes, chunk::Class cls) const override;
  uint64_t evict_all() override;
  void save_document(const std::string& name, util::ByteView content) override;
  std::optional<util::Bytes> load_document(const std::string& name) const override;
  void remove_document(const std::string& name) override;
  std::vector<std::string> documents(const std::string& prefix) const override;

  /// Takes in a whole layer that somebody else has as a file, open for reading, which stays as it
  /// is and is never linked to. Nothing of it is in the cache before all of it proved to be the
  /// digest's. Where the file system can (both files on the same XFS or btrfs), the two share their
  /// blocks from then on; elsewhere all is copied if `may_copy`. Nothing is evicted for it.
  /// Blocking, for as long as reading the file takes; `before_first_byte` is called where it was
  /// found right. Fault::corrupt: the file lies; no_space: the low watermark would be passed;
  /// invalid: it can only be copied; cancelled: `stop`; unavailable: the disk refuses. Throws as
  /// open().
  util::Outcome<Adopted> adopt(const util::Digest& digest, uint64_t size, int file, bool may_copy,
                               const std::function<void()>& before_first_byte,
                               const std::stop_token& stop);

  /// As in CacheOptions, from now on: what no longer fits is evicted soon.
  void set_limits(uint64_t quota, double high_watermark, double low_watermark);
  /// Blocking: all that was written so far is durable afterwards, unless the disk refuses.
  void sync();
  /// Takes away the files of layers that hold nothing, are not open and not pinned, and lets go of
  /// their descriptors. Their documents stay: they make the next mount a fast one. Runs by itself
  /// every kEmptyPause sync intervals.
  void drop_empty();

 private:
  static constexpr unsigned kEmptyPause = 600;

  using Key = std::pair<util::Digest, chunk::Form>;
  using Layers = std::map<Key, std::shared_ptr<CachedLayer>>;

  bool reserve(uint64_t bytes, chunk::Class cls) override;
  void give_back(uint64_t bytes) override;
  void disk_failed(const util::SysError& error) override;
  bool make_room(uint64_t bytes, chunk::Class cls, std::function<void(bool)> then) override;
  void check(std::function<void()> job) override;
  void count_wrong(uint64_t blocks) override;
  void lock_directory();
  void load();
  void take_clean_marker();
  void leave_clean_marker();
  void post(util::Workers::Urgency urgency, std::function<void()> job);
  void run_counted(util::Workers::Urgency urgency, std::function<void()> job);
  void close_jobs();
  void wait_for_jobs();
  std::shared_ptr<CachedLayer> open_now(const Key& key, uint64_t size);
  [[nodiscard]] std::shared_ptr<CachedLayer> find(const Key& key) const;
  void tend_disk();
  void save_waiting();
  // How room is made (room.cpp).
  [[nodiscard]] uint64_t available() const;
  [[nodiscard]] uint64_t held() const;
  void serve_wanting();
  bool make_room_now(uint64_t bytes, bool open_layers_too);
  /// What needs `bytes` of the disk: where there are none, once more after an eviction.
  void with_room(uint64_t bytes, const std::function<void()>& work);
  void start_eviction(bool open_layers_too);
  void evict_to_low_watermark(bool open_layers_too);
  uint64_t evict_oldest(uint64_t wanted, bool open_layers_too);
  struct Known {
    std::shared_ptr<CachedLayer> layer;
    bool open = false;  ///< by somebody else
  };
  [[nodiscard]] std::vector<Known> snapshot(bool open_layers_too) const;

  const CacheOptions options_;  ///< as at the start; the limits may have changed since
  util::Timers& timers_;
  util::Workers& workers_;
  util::Metrics::Gauge& bytes_gauge_;
  util::Metrics::Gauge& quota_gauge_;
  util::Metrics::Counter& evicted_counter_;
  util::Metrics::Counter& wrong_counter_;
  DiskTrouble trouble_;
  util::UniqueFd directory_lock_;
  /// Names of layers whose blocks are suspect; empty: all.
  std::optional<std::set<std::string>> suspect_;
  Documents documents_;
  Allowance allowance_;
  std::atomic<uint64_t> used_{0};
  std::atomic<uint64_t> evicted_{0};
  std::atomic<bool> evicting_{false};
  std::atomic<bool> syncing_{false};  ///< a sync waits for a worker
  struct Jobs {
    size_t running = 0;
    bool closing = false;  ///< no new ones but those that others wait for
  };
  /// A write that waits for room.
  struct Wanting {
    uint64_t bytes = 0;
    bool open_layers_too = false;
    std::function<void(bool)> then;
  };
  unsigned ticks_ = 0;                        ///< of those that tend the disk
  util::Sync<std::vector<Wanting>> wanting_;  ///< not empty: a job will see to them
  util::Sync<std::monostate> making_room_;    ///< who comes second finds the room of the first
  util::Sync<Jobs> jobs_;                     ///< jobs of ours on the workers
  std::condition_variable jobs_changed_;
  util::Sync<Layers> layers_;
  std::unique_ptr<io::Queue> queue_;  ///< dies before the layers: its handlers use them
  util::Operation tick_;
};

}  // namespace swarmfs::cache
