// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "util/outcome.h"

namespace swarmfs::control {

/// "registry" → bytes.
using BytesBySource = std::map<std::string, uint64_t>;

struct LayerReport {
  std::string digest;
  std::string media_type;
  uint64_t size = 0;
  uint64_t bytes_present = 0;
  bool indexed = false;
  bool lazy = false;
  std::string why;  ///< why it is lazy or is not, in words
  bool verified = false;
  BytesBySource sources;
};

struct ExplainReport {
  std::string reference;
  std::string manifest;
  std::vector<LayerReport> layers;
};

struct JobReport {
  std::string id;
  std::string kind;   ///< "mount" or "pull"
  std::string state;  ///< "running", "done" or "failed"
  std::optional<util::Failure> error;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  double seconds = 0;
  BytesBySource sources;
  std::string image_path;  ///< of a mount that is done: what to bind on the directory
  std::vector<LayerReport> layers;
};

struct MountReport {
  std::string reference;
  std::string directory;
  std::string manifest;
  std::string image_path;
  bool pinned = false;
  uint64_t bytes_total = 0;
  uint64_t bytes_present = 0;
};

struct StatusReport {
  std::string version;
  double uptime_seconds = 0;
  std::string mount_point;
  uint64_t cache_bytes = 0;
  uint64_t cache_quota = 0;
  uint64_t cache_evicted = 0;
  uint64_t layers = 0;
  BytesBySource sources;
  std::vector<MountReport> mounts;
};

struct MountOrder {
  std::string reference;
  std::string directory;  ///< absolute
  std::string platform;   ///< empty: this machine's
  bool pin = false;
};

/// What the API needs from the rest of the daemon; daemon implements it. Called on connection
/// threads, several at once; may block.
class Mediator {
 public:
  virtual ~Mediator() = default;
  virtual StatusReport status() = 0;
  virtual std::vector<MountReport> mounts() = 0;
  virtual std::vector<LayerReport> layers() = 0;
  /// Both return the job that was started (or joined).
  virtual util::Outcome<std::string> mount(const MountOrder& order) = 0;
  virtual util::Outcome<std::string> pull(const std::string& reference,
                                          const std::string& platform) = 0;
  virtual util::Outcome<util::Done> umount(const std::string& directory) = 0;
  /// Waits until the job ends or `wait` passed.
  virtual util::Outcome<JobReport> job(const std::string& id, std::chrono::milliseconds wait) = 0;
  /// Nobody waits for the job any more.
  virtual util::Outcome<util::Done> cancel(const std::string& id) = 0;
  /// The image of a mount that is done was bound on its directory.
  virtual void confirm(const std::string& directory) = 0;
  /// `target`: a reference or the directory of a mount.
  virtual util::Outcome<ExplainReport> explain(const std::string& target) = 0;
  /// Drops what nobody holds; returns bytes freed.
  virtual uint64_t evict() = 0;
  /// Prometheus text.
  virtual std::string metrics() = 0;
};

}  // namespace swarmfs::control
