// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/mirror.h"

#include <fmt/format.h>

#include <algorithm>

#include "mirror/problem.h"
#include "util/log.h"

namespace swarmfs::mirror {

using http::ServerRequest;
using http::ServerResponse;
using util::Fault;
using Kind = Permission::Kind;

namespace {

ServerResponse unknown_manifest(const oci::Reference& reference) {
  return problem(404, "MANIFEST_UNKNOWN",
                 reference.to_string() + " is not here, and the registry does not give it to us");
}

ServerResponse unauthorized(int status, const std::string& what) {
  return problem(status, status == 403 ? "DENIED" : "UNAUTHORIZED",
                 "the registry does not give you " + what);
}

ServerResponse refused(const Permission& permission, const oci::Reference& reference) {
  auto made = unauthorized(permission.status, reference.to_string());
  for (const auto& challenge : permission.challenges)
    made.headers.emplace_back("WWW-Authenticate", challenge);
  return made;
}

std::string etag_of(const util::Digest& digest) {
  return "\"" + digest.to_string() + "\"";
}

void add_identity(ServerResponse& response, const util::Digest& digest) {
  response.headers.emplace_back("Docker-Content-Digest", digest.to_string());
  response.headers.emplace_back("ETag", etag_of(digest));
}

/// The query without `ns`, as it came.
std::string query_of(const ServerRequest& request) {
  std::string made;
  for (const auto& [name, value] : request.query) {
    if (name == "ns") continue;
    for (const std::string* part : {&name, &value}) {
      made += part == &name ? (made.empty() ? "?" : "&") : "=";
      for (const char c : *part) {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_')
          made += c;
        else
          made += fmt::format("%{:02X}", static_cast<unsigned char>(c));
      }
    }
  }
  return made;
}

/// RFC 8288, of the next page: the registry's path for it is not the client's.
std::string as_the_client_asks(const std::string& link, const Route& route,
                               const ServerRequest& request) {
  const size_t end = link.find('>'), question = link.find('?');
  if (!link.starts_with('<') || end == link.npos || question > end) return link;
  const auto path = link.substr(1, question - 1);
  if (!path.empty() && !path.ends_with("/" + route.path())) return link;
  const auto ns = request.query.find("ns");
  const auto names = ns == request.query.end() ? "" : "&ns=" + ns->second;
  return "<" + request.path + link.substr(question, end - question) + names + link.substr(end);
}

}  // namespace

Mirror::Mirror(MirrorOptions options, Upstream& upstream, fetch::Fetcher& fetcher,
               chunk::Store& store, const util::Clock& clock, util::Metrics& metrics)
    : options_(std::move(options)),
      upstream_(upstream),
      fetcher_(fetcher),
      store_(store),
      clock_(clock),
      metrics_(metrics),
      streams_now_(metrics.gauge("swarmfs_mirror_streams", "Blobs on their way to clients now")),
      bytes_(metrics.counter("swarmfs_mirror_bytes_total", "Bytes of blobs given to clients")),
      pull_seconds_(metrics.latency("swarmfs_mirror_pull_seconds",
                                    "Time from a pull's first request to its last answer's end")),
      ledger_(store),
      permissions_(upstream, ledger_, clock),
      proofs_(upstream, fetcher, ledger_, clock),
      arrivals_(fetcher) {}

Mirror::~Mirror() {
  const auto ended = pulls_.lock()->end_all();
  tell(ended);
}

void Mirror::tend() {
  const auto ended = pulls_.lock()->tend(clock_.now());
  tell(ended);
}

ServerResponse Mirror::answer(const ServerRequest& request) {
  ServerResponse made;
  const char* kind = "other";
  if (request.method != "GET" && request.method != "HEAD") {
    made = problem(405, "UNSUPPORTED", "the mirror only gives");
  } else if (const auto route = parse_route(request.path, request.query); !route) {
    const bool bad = route.failure().fault == Fault::invalid;
    made = problem(bad ? 400 : 404, bad ? "NAME_INVALID" : "NAME_UNKNOWN", route.failure().message);
  } else {
    kind = route->name();
    made = dispatch(*route, request);
  }
  made.headers.emplace_back("Docker-Distribution-Api-Version", "registry/2.0");
  metrics_
      .counter("swarmfs_mirror_requests_total", "Requests of clients by kind and status",
               {{"kind", kind}, {"status", std::to_string(made.status)}})
      .add();
  return made;
}

ServerResponse Mirror::dispatch(const Route& route, const ServerRequest& request) {
  if (route.kind == Route::Kind::version) return {200, "application/json", "{}"};
  if (route.reference.registry == options_.address)
    return problem(404, "NAME_UNKNOWN", "that is this mirror, which is no registry");
  std::optional<Document> given;
  auto made = route.kind == Route::Kind::manifest ? manifest(route, request, given)
              : route.kind == Route::Kind::blob   ? blob(route, request)
                                                  : relay(route, request);
  note_answer(route, request, made, given);
  made.headers.emplace_back("OCI-Namespace", route.reference.registry);
  return made;
}

std::string Mirror::borrowed(const oci::Reference& reference,
                             const std::string& authorization) const {
  const bool needed = options_.borrow_credentials && !authorization.empty() &&
                      !upstream_.known_public(reference) && !upstream_.has_credentials(reference);
  return needed ? authorization : "";
}

void Mirror::borrow(const oci::Reference& reference, const std::string& authorization) {
  if (const auto header = borrowed(reference, authorization); !header.empty())
    upstream_.lend(reference, header);
}

util::Outcome<Document> Mirror::ask_registry(const oci::Reference& reference,
                                             Permission& permission, const std::string& borrowed,
                                             Word& word) {
  const auto until = std::chrono::steady_clock::now() + options_.patience;
  word = borrowed.empty() ? Word::registry : Word::caller;
  auto fetched = upstream_.manifest(reference, borrowed, until);
  if (fetched || borrowed.empty() || fetched.failure().fault != Fault::denied) return fetched;
  // His token has run out since the registry was asked about it.
  permissions_.doubt(reference, borrowed);
  permission = permissions_.check(reference, borrowed, until);
  if (permission.kind != Kind::allowed) return fetched;
  word = Word::registry;
  return upstream_.manifest(reference, "", until);
}

std::optional<Document> Mirror::find_manifest(const oci::Reference& reference,
                                              Permission& permission, const std::string& borrowed,
                                              Word& word) {
  word = Word::ledger;
  if (reference.digest && permission.kind == Kind::allowed)
    if (auto known = ledger_.find(reference)) return known;
  word = Word::registry;
  if (permission.document) return std::move(permission.document);
  if (permission.kind == Kind::allowed && !permissions_.silent(reference.registry)) {
    auto fetched = ask_registry(reference, permission, borrowed, word);
    if (fetched) return std::move(*fetched);
    util::log::info("mirror: {}: {}", reference.to_string(), fetched.failure().message);
    if (!util::may_pass(fetched.failure().fault)) return std::nullopt;
    permissions_.fell_silent(reference.registry);
  }
  if (!reference.digest && !options_.stale_tags) return std::nullopt;
  word = Word::ledger;
  if (permission.kind == Kind::allowed)
    if (auto known = ledger_.find(reference)) return known;
  word = Word::member;
  return upstream_.from_members(reference);
}

ServerResponse Mirror::manifest(const Route& route, const ServerRequest& request,
                                std::optional<Document>& given) {
  const auto& reference = route.reference;
  const auto authorization = header_of(request, "Authorization");
  auto permission = permissions_.check(reference, authorization,
                                       std::chrono::steady_clock::now() + options_.patience);
  if (permission.kind == Kind::denied) return refused(permission, reference);
  if (permission.kind == Kind::absent) return unknown_manifest(reference);
  Word word{};
  const auto lent =
      permission.kind == Kind::allowed ? borrowed(reference, authorization) : std::string();
  const auto document = find_manifest(reference, permission, lent, word);
  if (!document && permission.kind == Kind::denied) return refused(permission, reference);
  if (!document || names_wrong_blob(repository_of(reference), *document))
    return unknown_manifest(reference);
  if (!lent.empty() && permission.kind == Kind::allowed) upstream_.lend(reference, lent);
  if (word == Word::member) permissions_.grant(reference, authorization);
  ledger_.note(reference, *document);
  // Clients ask HEAD for the tag and GET for the digest, which the ledger knows by then.
  if (word != Word::ledger) upstream_.learnt(reference, *document, word);
  if (authorization.empty()) ledger_.set_public(repository_of(reference), true);
  if (!accepts(request.headers, document->media_type)) return unknown_manifest(reference);
  ServerResponse made{200, document->media_type};
  add_identity(made, document->digest);
  made.length = document->bytes->size();
  if (is_known_already(request.headers, etag_of(document->digest))) {
    made.status = 304;
  } else if (request.method == "GET") {
    made.body = util::as_text(*document->bytes);
    upstream_.gave(reference, *document, word);
    util::log::debug("mirror: {} gets {} ({})", header_of(request, "User-Agent"),
                     reference.to_string(), document->digest.short_hex());
  }
  given = document;
  return made;
}

ServerResponse Mirror::relay(const Route& route, const ServerRequest& request) {
  http::Headers headers;
  for (const auto& [name, value] : request.headers)
    for (const char* kept : {"Accept", "Authorization"})
      if (http::find_header({{name, value}}, kept)) headers.emplace_back(name, value);
  const auto answer = upstream_.relay(route, request.method, query_of(request), headers,
                                      std::chrono::steady_clock::now() + 2 * options_.patience);
  // Not 404, by which a registry says that it has no such thing: no tags, no referrers.
  if (!answer) return problem(503, "UNSUPPORTED", answer.failure().message);
  // What means "ask me again" to a client would keep it here.
  if (answer->status == 408 || answer->status == 429)
    return problem(503, "TOOMANYREQUESTS", "the registry is busy");
  ServerResponse made{answer->status, answer->header("Content-Type").value_or("application/json"),
                      answer->body};
  for (const auto& [name, value] : answer->headers)
    for (const char* kept : {"WWW-Authenticate", "Link", "OCI-Filters-Applied"})
      if (http::find_header({{name, value}}, kept))
        made.headers.emplace_back(kept, std::string_view(kept) == "Link"
                                            ? as_the_client_asks(value, route, request)
                                            : value);
  if (request.method == "HEAD")
    made.length =
        std::strtoull(answer->header("Content-Length").value_or("0").c_str(), nullptr, 10);
  return made;
}

ServerResponse Mirror::stranger(const Route& route, const ServerRequest& request,
                                std::optional<NamedBlob>& found) {
  ServerRequest asked = request;
  asked.method = "HEAD";
  asked.query.clear();
  auto answer = relay(route, asked);
  if (answer.status == 200 && answer.length.value_or(0) > 0 && *answer.length <= kLargestBlob) {
    borrow(route.reference, header_of(request, "Authorization"));
    found = NamedBlob{*route.reference.digest, *answer.length, "application/octet-stream"};
    return answer;
  }
  if (answer.status == 401 || answer.status == 403) {
    auto made = unauthorized(answer.status, "this blob");
    std::ranges::move(answer.headers, std::back_inserter(made.headers));
    return made;
  }
  return problem(404, "BLOB_UNKNOWN", "no manifest that passed here names it");
}

ServerResponse Mirror::blob(const Route& route, const ServerRequest& request) {
  const auto& reference = route.reference;
  const auto known = ledger_.blob(repository_of(reference), *reference.digest);
  if (!known) {
    std::optional<NamedBlob> found;
    auto refusal = stranger(route, request, found);
    return found ? deliver(route, request, *found) : refusal;
  }
  oci::Reference manifest = reference;
  manifest.digest = known->manifest;
  const auto permission = permissions_.check(manifest, header_of(request, "Authorization"),
                                             std::chrono::steady_clock::now() + options_.patience);
  if (permission.kind == Kind::denied) return refused(permission, reference);
  if (permission.kind != Kind::allowed)
    return problem(404, "BLOB_UNKNOWN", "the registry cannot say now whether you may have it");
  borrow(reference, header_of(request, "Authorization"));
  return deliver(route, request, known->blob);
}

bool Mirror::is_wrong(const std::string& repository, const NamedBlob& blob) const {
  return wrong_blobs_.has(repository, blob.digest, clock_.now()) &&
         !store_.open(blob.digest, blob.size, chunk::Form::bytes)->verified();
}

bool Mirror::names_wrong_blob(const std::string& repository, const Document& document) const {
  if (!wrong_blobs_.any(clock_.now())) return false;
  const auto named = blobs_of(*document.bytes);
  return std::any_of(named.begin(), named.end(),
                     [&](const NamedBlob& blob) { return is_wrong(repository, blob); });
}

ServerResponse Mirror::deliver(const Route& route, const ServerRequest& request,
                               const NamedBlob& blob) {
  ServerResponse made{200, "application/octet-stream"};
  const auto etag = etag_of(blob.digest);
  const auto wanted = wanted_range(request.headers, blob.size, etag);
  if (is_known_already(request.headers, etag)) {
    made.status = 304;
  } else if (request.method == "HEAD") {
    made.length = blob.size;
  } else if (wanted.kind == WantedRange::Kind::unsatisfiable) {
    made = problem(416, "RANGE_INVALID", "the blob has no such bytes");
    made.headers.emplace_back("Content-Range", fmt::format("bytes */{}", blob.size));
  } else if (is_wrong(repository_of(route.reference), blob)) {
    made = problem(404, "BLOB_UNKNOWN", "what came of it was wrong: the registry may do better");
  } else if (blob.size > 0) {
    const auto& reference = route.reference;
    made = stream({blob.digest, blob.size, {{reference.registry, reference.repository}}}, wanted,
                  blob.media_type, request);
  }
  if (made.status < 400) {
    add_identity(made, blob.digest);
    made.headers.emplace_back("Accept-Ranges", "bytes");
  }
  return made;
}

}  // namespace swarmfs::mirror
