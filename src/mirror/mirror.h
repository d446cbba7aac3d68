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
#include "mirror/fronts.h"
#include "mirror/ledger.h"
#include "mirror/permissions.h"
#include "mirror/proofs.h"
#include "mirror/pulls.h"
#include "mirror/upstream.h"
#include "mirror/wanted_range.h"
#include "mirror/wrong_blobs.h"
#include "util/clock.h"
#include "util/metrics.h"

namespace swarmfs::mirror {

struct MirrorOptions {
  std::string address;  ///< of our own, "127.0.0.1:9755": never asked
  /// Until a manifest is answered, from somewhere or by 404 that sends the client elsewhere: twice
  /// that at most.
  std::chrono::milliseconds patience{2'000};
  /// Whether a tag that the registry cannot be asked for is what it was last, here or to members;
  /// else nobody gets it.
  bool stale_tags = true;
  /// Whether what is private, and this node has no credential for, is fetched with its caller's:
  /// for the cache, and as his pull's share of the swarm. Else he gets it from the registry.
  bool borrow_credentials = true;
  DeliveryOptions delivery{};
  uint64_t window_budget = 128 << 20;  ///< bytes under way ahead of all clients together
};

/// The pull side of the distribution spec over the cache and the swarm (reference/p2p.md section 4:
/// what clients make of the answers). Tags are what the registry says while it can be asked. A
/// manifest that was given out owns its blobs; but for those whose bytes proved wrong again:
/// they, and what names them, come from the registry for a while. 404 and 503 send a client
/// elsewhere; an answer that began and cannot go on ends the connection. answer() runs on many
/// threads at once and blocks, always with an end.
class Mirror {
 public:
  Mirror(MirrorOptions options, Upstream& upstream, fetch::Fetcher& fetcher, chunk::Store& store,
         const util::Clock& clock, util::Metrics& metrics);
  /// Tells of the pulls under way; no answer() runs any more.
  ~Mirror();

  http::ServerResponse answer(const http::ServerRequest& request);
  /// Tells of pulls that ended because nothing more was asked. Now and then; never waits.
  void tend();

 private:
  struct Stream;
  http::ServerResponse dispatch(const Route& route, const http::ServerRequest& request);
  /// `given`: also where the client has it already.
  http::ServerResponse manifest(const Route& route, const http::ServerRequest& request,
                                std::optional<Document>& given);
  /// The header of a caller who may pull from the repository, where we need it to do so; else
  /// empty.
  [[nodiscard]] std::string borrowed(const oci::Reference& reference,
                                     const std::string& authorization) const;
  /// It serves for blobs from now on, where it is needed.
  void borrow(const oci::Reference& reference, const std::string& authorization);
  /// Asks registry, ledger and members, as far as the permission goes, which may turn out to be
  /// none any more. `borrowed`: see there.
  std::optional<Document> find_manifest(const oci::Reference& reference, Permission& permission,
                                        const std::string& borrowed, Word& word);
  /// From the registry. `word`: whose that is.
  util::Outcome<Document> ask_registry(const oci::Reference& reference, Permission& permission,
                                       const std::string& borrowed, Word& word);
  http::ServerResponse blob(const Route& route, const http::ServerRequest& request);
  /// Of a blob that no manifest named: the registry's word, given to the caller.
  http::ServerResponse stranger(const Route& route, const http::ServerRequest& request,
                                std::optional<NamedBlob>& found);
  /// It was wrong too often for that repository, and is not here and right by now.
  [[nodiscard]] bool is_wrong(const std::string& repository, const NamedBlob& blob) const;
  [[nodiscard]] bool names_wrong_blob(const std::string& repository,
                                      const Document& document) const;
  http::ServerResponse deliver(const Route& route, const http::ServerRequest& request,
                               const NamedBlob& blob);
  http::ServerResponse stream(const chunk::LayerRef& ref, const WantedRange& wanted,
                              const std::string& media_type, const http::ServerRequest& request);
  /// What is opened is to be delivered.
  void prepare(Stream& made, const WantedRange& wanted);
  void end_stream(Stream& stream, Pulls::Id pull, BlobDelivery::End end);
  /// A line for each of them: the log of who got what.
  void tell(const Pulls::Ended& ended);
  /// What was answered other than by a stream.
  void note_answer(const Route& route, const http::ServerRequest& request,
                   const http::ServerResponse& made, const std::optional<Document>& document);
  http::ServerResponse relay(const Route& route, const http::ServerRequest& request);
  /// Each stream's part of the budget, in pieces.
  [[nodiscard]] size_t window() const;

  const MirrorOptions options_;
  Upstream& upstream_;
  fetch::Fetcher& fetcher_;
  chunk::Store& store_;
  const util::Clock& clock_;
  util::Metrics& metrics_;
  util::Metrics::Gauge& streams_now_;
  util::Metrics::Counter& bytes_;
  util::Metrics::Histogram& pull_seconds_;
  Ledger ledger_;
  Permissions permissions_;
  Proofs proofs_;
  Arrivals arrivals_;
  Fronts fronts_;
  WrongBlobs wrong_blobs_;
  util::Sync<Pulls> pulls_;  ///< leaf
  std::atomic<size_t> streams_{0};
};

}  // namespace swarmfs::mirror
