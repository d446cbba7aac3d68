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

/// Whose word this node takes for what a layer's bytes must be.
struct Trust {
  bool sealed = false;   ///< a hash tree checks every block
  std::string claimant;  ///< node that says what the tree is; empty: the layer was hashed here
};

/// "sealed: hashed here", "sealed: claimed by node 3fa4…", "provisional".
std::string to_string(const Trust& trust);

/// A peer that has something of a layer.
struct HolderReport {
  std::string peer;  ///< "10.0.0.3:7946"
  uint64_t bytes = 0;
};

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
  std::optional<Trust> trust;         ///< empty: nobody reads it, so it was not looked up
  std::vector<HolderReport> holders;  ///< other nodes; explain() only
};

struct ExplainReport {
  std::string reference;
  std::string manifest;
  std::vector<LayerReport> layers;
};

/// A node that preheats an image.
struct PreheatNodeReport {
  std::string endpoint;
  std::string node_id;
  std::string zone;
  std::string state;  ///< "running", "done" or "failed"
  std::string error;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  double seconds = 0;
  BytesBySource sources;
};

/// A member that is silent or banned, so that it was not asked to preheat.
struct LeftOutReport {
  std::string endpoint;
  std::string zone;
  std::string why;
};

struct JobReport {
  std::string id;
  std::string kind;   ///< "mount", "pull" or "preheat"
  std::string state;  ///< "running", "done" or "failed"
  std::optional<util::Failure> error;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
  double seconds = 0;
  BytesBySource sources;
  std::string image_path;  ///< of a mount that is done: what to bind on the directory
  std::vector<LayerReport> layers;
  std::vector<PreheatNodeReport> nodes;  ///< of a preheat, as left_out; its bytes are their sums
  std::vector<LeftOutReport> left_out;
};

struct MountReport {
  std::string reference;
  std::string directory;
  std::string manifest;
  std::string image_path;
  bool pinned = false;
  std::string options;  ///< "nosuid,noexec"; read-only it always is
  uint64_t bytes_total = 0;
  uint64_t bytes_present = 0;
};

/// One node that this one gets bytes from, or would. What was never measured is absent.
struct PeerReport {
  std::string endpoint;
  std::string node_id;  ///< empty until met
  std::string zone;
  enum class State { ok, silent, banned };
  State state = State::ok;
  std::string reason;         ///< of silence or ban
  double silent_seconds = 0;  ///< until it is tried again; 0: with the next request
  std::optional<double> first_byte_ms;
  std::optional<double> p95_ms;
  std::optional<double> bytes_per_second;
  uint64_t bytes_given = 0;
  unsigned in_flight = 0;
};

/// A member of a layer's swarm.
struct SwarmMemberReport {
  std::string endpoint;
  std::string node_id;
  std::string zone;
  uint64_t bytes = 0;  ///< of the layer that it has, or has on their way from the registry
  bool wants = false;  ///< it is bringing the layer in
  bool sealed = false;
};

/// Who has what of a layer.
struct SwarmReport {
  std::string digest;
  uint64_t size = 0;
  uint64_t bytes = 0;  ///< here, as of a member
  std::vector<SwarmMemberReport> members;
  uint64_t chunks = 0;             ///< of the layer
  uint64_t rarest_copies = 0;      ///< nodes, this one included, that have the rarest chunk
  uint64_t rarest_chunks = 0;      ///< chunks with so few copies
  double received_per_second = 0;  ///< bytes, from members; smoothed
  double given_per_second = 0;
  std::optional<uint64_t> bulk_peers;  ///< by BitTorrent; empty: it is not exchanged so
};

/// What members answered when they were asked just now.
struct SwarmsReport {
  uint64_t peers = 0;  ///< that can be asked
  uint64_t asked = 0;
  uint64_t answered = 0;
  std::vector<SwarmReport> layers;  ///< unfinished ones first, then those with the fewest copies
};

struct ClusterReport {
  std::string node_id;
  std::string zone;
  std::vector<std::string> listen;
  uint64_t peers = 0;
  uint64_t dht_nodes = 0;
};

/// What containerd's layers have come to here.
struct ContainerdReport {
  std::string address;
  std::string trouble;  ///< why it is not watched now; empty: it is
  std::string refused;  ///< why none of its layers can be had now, and the way out; empty: they can
  uint64_t layers = 0;  ///< handed over since start
  uint64_t bytes = 0;
};

struct StatusReport {
  std::string version;
  double uptime_seconds = 0;
  std::string mount_point;
  uint64_t cache_bytes = 0;
  uint64_t cache_quota = 0;
  uint64_t cache_evicted = 0;
  std::string cache_trouble;  ///< what its disk refuses, and the way out; empty: nothing
  uint64_t layers = 0;
  BytesBySource sources;
  std::vector<MountReport> mounts;
  std::optional<ClusterReport> cluster;        ///< empty: no peers are configured
  std::optional<ContainerdReport> containerd;  ///< empty: nothing is handed over
};

struct MountOrder {
  std::string reference;
  std::string directory;  ///< absolute
  std::string platform;   ///< empty: this machine's
  bool pin = false;
  std::string options;  ///< of MountReport
};

struct PreheatOrder {
  std::string reference;
  std::string platform;  ///< empty: each node's own
  std::string nodes;     ///< "all", "3"
  std::string zone;      ///< empty: any
  std::string timeout;   ///< seconds without progress after which a node is given up: "600"
};

/// What the API needs from the rest of the daemon; daemon implements it. Called on connection
/// threads, several at once; may block.
class Mediator {
 public:
  virtual ~Mediator() = default;
  virtual StatusReport status() = 0;
  virtual std::vector<MountReport> mounts() = 0;
  /// Those of one reference, however it is written.
  virtual util::Outcome<std::vector<MountReport>> mounts_of(const std::string& reference) = 0;
  virtual std::vector<LayerReport> layers() = 0;
  /// Empty as well where no peers are configured.
  virtual std::vector<PeerReport> peers() = 0;
  /// Empty target: layers in use here, and those whose members are looked for; else a reference,
  /// the directory of a mount or a layer's digest (its first digits will do). Asks members.
  virtual util::Outcome<SwarmsReport> swarms(const std::string& target) = 0;
  /// These return the job that was started (or joined).
  virtual util::Outcome<std::string> mount(const MountOrder& order) = 0;
  virtual util::Outcome<std::string> pull(const std::string& reference,
                                          const std::string& platform) = 0;
  virtual util::Outcome<std::string> preheat(const PreheatOrder& order) = 0;
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
