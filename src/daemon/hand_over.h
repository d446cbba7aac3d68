// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <memory>
#include <set>

#include "cache/chunk_cache.h"
#include "containerd/grpc_runtime.h"
#include "containerd/watcher.h"
#include "content/layer_library.h"
#include "control/mediator.h"
#include "daemon/catalog.h"
#include "daemon/cluster_node.h"
#include "daemon/config.h"
#include "util/metrics.h"
#include "util/sync.h"

namespace swarmfs::daemon {

/// Layers that containerd holds become layers of the cache, which shares their blocks on the disk
/// where it can; then each is indexed, sealed and offered to members as one that was pulled here.
/// All of that on the watcher's thread.
class HandOver final : public containerd::Taker {
 public:
  struct Parts {
    cache::ChunkCache& cache;
    Catalog& catalog;
    content::LayerLibrary& library;
    fetch::Fetcher& fetcher;
    ClusterNode* node;  ///< null: no cluster
  };
  HandOver(const ContainerdSection& section, Parts parts, util::Metrics& metrics);

  void start();
  /// Nothing new begins. Ends what waits for bytes once the fetcher is stopped as well.
  void stop();
  [[nodiscard]] control::ContainerdReport report() const;

  std::vector<util::Digest> take(const containerd::HeldImage& image,
                                 const std::stop_token& stop) override;

 private:
  bool take_layer(const containerd::HeldImage::Layer& layer, const std::stop_token& stop);
  bool refused(const containerd::HeldImage::Layer& layer, const util::Failure& why);
  void refuse_all(const std::string& why);
  void count(cache::Adopted how, uint64_t bytes);
  void seal(const chunk::LayerRef& layer);

  const ContainerdSection section_;
  const Parts parts_;
  util::Metrics::Counter& shared_counter_;
  util::Metrics::Counter& copied_counter_;
  std::atomic<uint64_t> layers_{0};
  std::atomic<uint64_t> bytes_{0};
  std::set<util::Digest> told_private_;  ///< manifests; the watcher's thread's
  util::Sync<std::string> refused_;      ///< why no layer can be had, last
  containerd::GrpcRuntime runtime_;
  std::unique_ptr<containerd::Watcher> watcher_;  ///< last: its thread uses the rest
};

}  // namespace swarmfs::daemon
