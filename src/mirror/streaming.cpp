// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// Mirror: blobs on their way to clients, and what is told of it.

#include <fmt/format.h>

#include <algorithm>

#include "mirror/mirror.h"
#include "mirror/passage.h"
#include "mirror/problem.h"
#include "util/error.h"
#include "util/log.h"

namespace swarmfs::mirror {

using http::ServerRequest;
using http::ServerResponse;
using util::Fault;

/// What one connection streams, until it has ended.
struct Mirror::Stream {
  Caller who;
  std::string authorization;
  oci::Reference blob;
  std::string media_type;
  chunk::LayerRef ref;
  util::ByteRange range;
  std::shared_ptr<fetch::Layer> layer;
  std::shared_ptr<const void> known;
  bool alone = false;  ///< as Proofs::Opened
  Arrivals::Ticket arrival;
  std::map<std::string, uint64_t> before;  ///< bytes by source
  util::SteadyTime began;
  std::shared_ptr<const void> counted;  ///< among the streams
  std::unique_ptr<BlobDelivery> delivery;
  std::unique_ptr<Passage> passage;  ///< instead of layer and delivery

  util::Outcome<util::Done> begin() { return passage ? passage->begin() : delivery->begin(); }
  BlobDelivery::End send(http::BodyWriter& client) {
    return passage ? passage->send(client) : delivery->send(client);
  }
  [[nodiscard]] uint64_t sent() const { return passage ? passage->sent() : delivery->sent(); }
  /// What was sent, by source.
  [[nodiscard]] std::map<std::string, uint64_t> sources() const;
};

namespace {

using BySource = std::map<std::string, uint64_t>;

/// Of `sent` bytes what others brought meanwhile, and the rest from the cache.
BySource split(uint64_t sent, const BySource& before, const BySource& after) {
  BySource made;
  uint64_t rest = sent;
  for (const auto& [source, bytes] : after) {
    if (source == chunk::to_string(chunk::SourceKind::cache)) continue;
    const auto known = before.find(source);
    const uint64_t brought = bytes - (known == before.end() ? 0 : std::min(bytes, known->second));
    rest -= made[source] = std::min(rest, brought);
  }
  made[chunk::to_string(chunk::SourceKind::cache)] = rest;
  return made;
}

}  // namespace

BySource Mirror::Stream::sources() const {
  if (passage) return {{chunk::to_string(chunk::SourceKind::registry), sent()}};
  return split(sent(), before, layer->bytes_by_source());
}

size_t Mirror::window() const {
  const size_t share = options_.window_budget / BlobStream::kPiece / std::max<size_t>(1, streams_);
  return std::clamp<size_t>(share, 2, 16);
}

ServerResponse Mirror::stream(const chunk::LayerRef& ref, const WantedRange& wanted,
                              const std::string& media_type, const ServerRequest& request) {
  auto made = std::make_shared<Stream>();
  made->began = clock_.now();
  made->who = {header_of(request, "User-Agent"), request.client};
  made->authorization = header_of(request, "Authorization");
  const auto& origin = ref.origins.front();
  made->blob = {origin.registry, origin.repository, {}, ref.digest};
  made->media_type = media_type;
  made->ref = ref;
  made->range = wanted.range;
  try {
    auto opened = proofs_.open(ref, made->authorization,
                               std::chrono::steady_clock::now() + 2 * options_.patience);
    if (!opened)
      return problem(util::may_pass(opened.failure().fault) ? 503 : 404, "BLOB_UNKNOWN",
                     opened.failure().message);
    made->layer = std::move(opened->blob);
    made->alone = opened->alone;
  } catch (const util::Error& error) {
    return problem(404, "BLOB_UNKNOWN", error.what());
  }
  ++streams_;
  streams_now_.add(1);
  made->counted = {this, [this](const void*) {
                     --streams_;
                     streams_now_.add(-1);
                   }};
  if (made->layer)
    prepare(*made, wanted);
  else
    made->passage = std::make_unique<Passage>(upstream_, fronts_, made->blob, wanted.range,
                                              made->authorization, options_.delivery);
  if (const auto begun = made->begin(); !begun) {
    util::log::warning("mirror: blob {}: {}", ref.digest.short_hex(), begun.failure().message);
    const auto fault = begun.failure().fault;
    if (fault == Fault::denied) permissions_.doubt(made->blob, made->authorization);
    const bool never = fault == Fault::not_found || fault == Fault::denied;
    return problem(never ? 404 : 503, "BLOB_UNKNOWN", begun.failure().message);
  }
  ServerResponse response{200, "application/octet-stream"};
  response.length = wanted.range.length;
  if (wanted.kind == WantedRange::Kind::part) {
    response.status = 206;
    response.headers.emplace_back(
        "Content-Range",
        fmt::format("bytes {}-{}/{}", wanted.range.offset, wanted.range.end() - 1, ref.size));
  }
  response.stream = [this, made](http::BodyWriter& client) {
    Pulls::Ended ended;
    const auto pull = pulls_.lock()->blob_begins(clock_.now(), made->who, made->blob, ended);
    tell(ended);
    auto end = BlobDelivery::End::left;
    try {
      end = made->send(client);
    } catch (...) {
      end_stream(*made, pull, end);
      throw;
    }
    end_stream(*made, pull, end);
    return end == BlobDelivery::End::whole;
  };
  return response;
}

void Mirror::prepare(Stream& made, const WantedRange& wanted) {
  const auto& ref = made.ref;
  auto& stored = made.layer->stored();
  const bool here = made.layer->is_whole();
  if (!here)
    made.known = upstream_.claimed(ref, made.media_type);
  else if (!stored.verified())
    made.known = upstream_.opened(ref);
  made.before = made.layer->bytes_by_source();
  made.delivery = std::make_unique<BlobDelivery>(
      fetcher_, made.layer, wanted, [this] { return window(); }, options_.delivery,
      DeliveryCalls{
          [this, alone = made.alone, layer = made.layer.get(), origin = ref.origins.front()] {
            return !alone || proofs_.may_go_on(*layer, origin);
          },
          [this, ref] { return upstream_.dispute(ref); },
          [this, ref] { upstream_.disprove(ref); }});
  // After the first read, which is ahead of it in that order. What cannot be kept as a whole would
  // drive itself out.
  if (!here && wanted.to_the_end && ref.size <= store_.usage().most)
    made.arrival = arrivals_.bring_in(made.layer);
}

void Mirror::end_stream(Stream& stream, Pulls::Id pull, BlobDelivery::End end) {
  using End = BlobDelivery::End;
  const auto sources = stream.sources();
  const uint64_t sent = stream.sent();
  const std::chrono::duration<double> took = clock_.now() - stream.began;
  constexpr const char* kEnds[] = {"", "cut short: the bytes did not come",
                                   "cut short: the bytes are wrong", "the client left"};
  const std::string how = kEnds[static_cast<size_t>(end)];
  util::log::debug("mirror: {} got {} of {} in {:.1f} s ({}) {}", stream.who.agent,
                   util::human_bytes(sent), stream.blob.to_string(), took.count(),
                   in_words(sources), how);
  bytes_.add(static_cast<double>(sent));
  for (const auto& [source, bytes] : sources)
    metrics_
        .counter("swarmfs_mirror_source_bytes_total",
                 "Bytes of blobs given to clients, by where they came from", {{"source", source}})
        .add(static_cast<double>(bytes));
  if (end == End::broken || end == End::wrong)
    metrics_
        .counter("swarmfs_mirror_cut_short_total", "Blobs that could not be given to their end",
                 {{"why", end == End::wrong ? "wrong" : "late"}})
        .add();
  // His token may have run out meanwhile: he gets another if he is asked for it.
  if (end == End::broken) permissions_.doubt(stream.blob, stream.authorization);
  const bool all = end == End::whole && stream.range.end() == stream.ref.size;
  const std::string failure =
      how.empty() ? "" : "blob " + stream.ref.digest.short_hex() + ": " + how;
  const auto ended =
      pulls_.lock()->blob_ended(clock_.now(), pull, stream.ref.digest, sources, all, failure);
  tell(ended);
  if (stream.passage) return stream.passage->showed_all() ? proofs_.gave_all(stream.ref) : void();
  const auto& origin = stream.ref.origins.front();
  if (stream.delivery->dropped())
    wrong_blobs_.note(origin.name(), stream.ref.digest, stream.began, clock_.now());
  if (all && stream.delivery->hashed_whole())
    wrong_blobs_.came_right(origin.name(), stream.ref.digest);
  // The end of a range alone is what its receiver may have known.
  const auto& stored = stream.layer->stored();
  const bool checked =
      stored.verified() || (stream.delivery->holds_back() && !stream.layer->claimed());
  const bool proves = all && (stream.range.offset == 0 || stream.delivery->hashed_whole() ||
                              (checked && stream.layer->is_whole()));
  if (proves && stream.alone) proofs_.came_whole(*stream.layer, origin);
  // All of it may have come after those who brought it in had left.
  const bool unsettled = stream.layer->is_whole() && !stored.verified();
  const bool settles = (all && (stream.arrival || unsettled)) ||
                       (end == End::whole && stream.layer->claimed() && stream.layer->is_whole());
  if (settles || (end == End::wrong && stream.layer->sealed()))
    upstream_.complete(stream.ref, stream.media_type);
}

void Mirror::note_answer(const Route& route, const ServerRequest& request,
                         const ServerResponse& made, const std::optional<Document>& document) {
  const bool is_manifest = route.kind == Route::Kind::manifest;
  // A question who it is, or a range that is not there, is no failure of a blob's.
  const bool blob_failed = route.kind == Route::Kind::blob && made.status >= 400 &&
                           made.status != 401 && made.status != 416;
  if (!is_manifest && !blob_failed) return;
  const Caller caller{header_of(request, "User-Agent"), request.client};
  const auto& reference = route.reference;
  const auto now = clock_.now();
  // Not under the lock: a document may be long.
  auto given = document ? std::optional(Pulls::contents_of(*document)) : std::nullopt;
  const auto ended =
      is_manifest ? pulls_.lock()->manifest(now, caller, reference, std::move(given),
                                            fmt::format("the manifest: {}", made.status))
                  : pulls_.lock()->blob_failed(
                        now, caller, reference,
                        fmt::format("blob {}: {}", reference.digest->short_hex(), made.status));
  tell(ended);
}

void Mirror::tell(const Pulls::Ended& ended) {
  for (const auto& pull : ended) {
    util::log::info("mirror: {}", in_words(pull));
    if (pull.blobs > 0) pull_seconds_.observe(std::chrono::duration<double>(pull.took).count());
  }
}

}  // namespace swarmfs::mirror
