// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>

#include "cache/chunk_cache.h"
#include "content/data_reader.h"
#include "content/layer_library.h"
#include "control/api.h"
#include "daemon/catalog.h"
#include "daemon/config.h"
#include "daemon/mediator.h"
#include "daemon/registry_inquiries.h"
#include "daemon/registry_manifests.h"
#include "fetch/fetcher.h"
#include "fuse/front.h"
#include "http/client.h"
#include "http/server.h"
#include "image/image_library.h"
#include "registry/registry_client.h"
#include "registry/registry_source.h"
#include "util/metrics.h"
#include "util/timers.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// Every long-lived object of swarmfsd, in construction order; taken down in reverse. Two of them
/// can live in one process.
class Daemon {
 public:
  /// Throws util::Error with the way out when something cannot start.
  explicit Daemon(const Config& config);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Takes over log level, credentials and registries of a new configuration.
  void reload(const Config& config);

 private:
  void bring_back_mounts();

  util::Metrics metrics_;
  util::Timers timers_;
  util::Workers workers_;
  cache::ChunkCache cache_;             // needs timers, workers, metrics
  http::Client http_;                   // needs nothing
  registry::RegistryClient registry_;   // needs http, timers, metrics
  registry::RegistrySource source_;     // needs registry
  fetch::Fetcher fetcher_;              // needs cache, source, timers, metrics
  content::LayerLibrary library_;       // needs fetcher, cache
  content::DataReader reader_;          // needs fetcher, library, workers
  util::SteadyClock clock_;             // needs nothing
  RegistryInquiries inquiries_;         // needs registry
  Catalog catalog_;                     // needs cache, inquiries, clock
  RegistryManifests manifests_;         // needs registry, catalog
  image::ImageLibrary images_;          // needs library, fetcher, cache, manifests, timers
  std::unique_ptr<fuse::Front> front_;  // needs images, reader, fetcher
  Mediator mediator_;                   // needs images, cache, fetcher
  control::Api api_;                    // needs mediator
  std::unique_ptr<http::Server> control_server_;  // needs api
  std::unique_ptr<http::Server> metrics_server_;  // needs api
};

}  // namespace swarmfs::daemon
