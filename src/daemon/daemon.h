// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>

#include "cache/chunk_cache.h"
#include "content/data_reader.h"
#include "content/layer_library.h"
#include "control/api.h"
#include "daemon/catalog.h"
#include "daemon/cluster_node.h"
#include "daemon/config.h"
#include "daemon/hand_over.h"
#include "daemon/handed_sockets.h"
#include "daemon/manifests.h"
#include "daemon/mediator.h"
#include "daemon/mirror_upstream.h"
#include "daemon/neighbours.h"
#include "daemon/preheater.h"
#include "daemon/registry_inquiries.h"
#include "daemon/registry_manifests.h"
#include "fetch/fetcher.h"
#include "fuse/front.h"
#include "http/client.h"
#include "http/server.h"
#include "image/image_library.h"
#include "mirror/mirror.h"
#include "registry/registry_client.h"
#include "registry/registry_source.h"
#include "util/link_gauge.h"
#include "util/metrics.h"
#include "util/operation.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// Every long-lived object of swarmfsd, in construction order; taken down in reverse. Two of them
/// can live in one process.
class Daemon {
 public:
  /// Throws util::Error with the way out when something cannot start.
  explicit Daemon(const Config& config, HandedSockets sockets = {});
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Takes over what can change at run time (packaging/swarmfs.toml says which keys). Throws
  /// util::Error when files that the configuration names are unusable; then little has changed.
  void reload(const Config& config);

 private:
  void connect_peers();
  void start_servers(const Config& config, HandedSockets& sockets);
  void start_mirror(const Config& config, util::UniqueFd listener);
  void bring_back_mounts();

  util::Metrics metrics_;
  util::SteadyClock clock_;
  util::Timers timers_;
  const std::shared_ptr<util::LinkGauge> link_ = std::make_shared<util::LinkGauge>();
  util::Workers workers_;
  cache::ChunkCache cache_;                 // needs timers, workers, metrics
  http::Client http_;                       // needs nothing
  registry::RegistryClient registry_;       // needs http, timers, metrics
  RegistryInquiries inquirer_;              // needs registry
  Catalog catalog_;                         // needs cache, inquirer
  std::unique_ptr<ClusterNode> node_;       // needs workers, timers, metrics; null: no peers
  registry::RegistrySource source_;         // needs registry, timers, node
  fetch::Fetcher fetcher_;                  // needs cache, node, source, timers, metrics
  content::LayerLibrary library_;           // needs fetcher, cache, node
  std::unique_ptr<HolderInquiries> asker_;  // needs catalog to library; null: no peers
  content::DataReader reader_;              // needs fetcher, library, workers, timers
  RegistryManifests registry_manifests_;    // needs registry
  Manifests manifests_;                     // needs registry_manifests, catalog, cache, node
  image::ImageLibrary images_;              // needs library, fetcher, cache, manifests, timers
  std::unique_ptr<HandOver> hand_over_;     // needs cache, catalog, library, node; null: off
  std::unique_ptr<fuse::Front> front_;      // needs images, reader, fetcher
  std::unique_ptr<Neighbours> neighbours_;  // needs node
  Preheater preheater_;                     // needs node
  Mediator mediator_;  // needs images, cache, fetcher, neighbours, preheater, hand_over
  control::Api api_;   // needs mediator
  std::unique_ptr<http::Server> control_server_;  // needs api
  std::unique_ptr<http::Server> metrics_server_;  // needs api
  std::unique_ptr<MirrorUpstream>
      mirror_upstream_;  // needs registry, manifests, library, fetcher; null: no mirror
  std::unique_ptr<mirror::Mirror> mirror_;       // needs mirror_upstream, fetcher, cache
  util::Operation mirror_tending_;               // needs mirror
  std::unique_ptr<http::Server> mirror_server_;  // needs mirror
  util::Operation trimming_;                     // needs timers, workers
};

}  // namespace swarmfs::daemon
