// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "chunk/store.h"
#include "fetch/fetcher.h"
#include "http/server.h"
#include "mirror/arrivals.h"
#include "mirror/blob_delivery.h"
#include "mirror/ledger.h"
#include "mirror/permissions.h"
#include "mirror/proofs.h"
#include "mirror/upstream.h"
#include "mirror/wanted_range.h"
#include "util/clock.h"
#include "util/metrics.h"

namespace swarmfs::mirror {

struct MirrorOptions {
  std::string address;  ///< of our own, "127.0.0.1:9755": never asked
  /// Until a manifest is answered, from somewhere or by 404 that sends the client elsewhere: twice
  /// that at most.
  std::chrono::milliseconds patience{2'000};
  DeliveryOptions delivery{};
  uint64_t window_budget = 128 << 20;  ///< bytes under way ahead of all clients together
};

/// The pull side of the distribution spec over the cache and the swarm (reference/p2p.md section 4:
/// what clients make of the answers). Tags are what the registry says while it can be asked. A
/// manifest that was given out owns its blobs. 404 and 503 send a client elsewhere; an answer that
/// began and cannot go on ends the connection. answer() runs on many threads at once and blocks,
/// always with an end.
class Mirror {
 public:
  Mirror(MirrorOptions options, Upstream& upstream, fetch::Fetcher& fetcher, chunk::Store& store,
         const util::Clock& clock, util::Metrics& metrics);

  http::ServerResponse answer(const http::ServerRequest& request);

 private:
  struct Stream;
  http::ServerResponse dispatch(const Route& route, const http::ServerRequest& request);
  http::ServerResponse manifest(const Route& route, const http::ServerRequest& request);
  /// Asks registry, ledger and members, as far as the permission goes.
  std::optional<Document> find_manifest(const oci::Reference& reference, Permission permission,
                                        Word& word);
  http::ServerResponse blob(const Route& route, const http::ServerRequest& request);
  /// Of a blob that no manifest named: the registry's word, given to the caller.
  http::ServerResponse stranger(const Route& route, const http::ServerRequest& request,
                                std::optional<NamedBlob>& found);
  http::ServerResponse deliver(const Route& route, const http::ServerRequest& request,
                               const NamedBlob& blob);
  http::ServerResponse stream(const chunk::LayerRef& ref, const WantedRange& wanted,
                              const std::string& media_type, const http::ServerRequest& request);
  void end_stream(Stream& stream, BlobDelivery::End end);
  http::ServerResponse relay(const Route& route, const http::ServerRequest& request);
  [[nodiscard]] size_t window() const;

  const MirrorOptions options_;
  Upstream& upstream_;
  fetch::Fetcher& fetcher_;
  chunk::Store& store_;
  util::Metrics& metrics_;
  util::Metrics::Gauge& streams_now_;
  util::Metrics::Counter& bytes_;
  Ledger ledger_;
  Permissions permissions_;
  Proofs proofs_;
  Arrivals arrivals_;
  std::atomic<size_t> streams_{0};
};

}  // namespace swarmfs::mirror
