// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/mirror_upstream.h"

#include <future>

#include "daemon/blob_range.h"
#include "daemon/repository.h"
#include "util/log.h"
#include "util/low_priority.h"

namespace swarmfs::daemon {

using mirror::Permission;
using util::Failure;
using util::Fault;
using util::Outcome;
using Kind = mirror::Permission::Kind;

namespace {

/// A client waits, and can go to the registry instead.
constexpr std::chrono::milliseconds kMemberPatience{1'500};
/// A claim spares it at most a pull that fails at its end.
constexpr std::chrono::milliseconds kClaimPatience{500};
constexpr size_t kMostChoices = 1024;
/// Later the registry may think otherwise.
constexpr std::chrono::minutes kChoiceStands{1};

Permission permission_of(const Outcome<http::Response>& answer) {
  Permission made;
  if (!answer) return made;
  // A page to sign in, from a network that is not connected yet, is not the registry's word.
  const bool is_page = answer->header("Content-Type").value_or("").starts_with("text/html");
  if (answer->status / 100 == 2 && !is_page) made.kind = Kind::allowed;
  if (answer->status == 404) made.kind = Kind::absent;
  if (answer->status != 401 && answer->status != 403) return made;
  made.kind = Kind::denied;
  made.status = answer->status;
  for (const auto& header : answer->headers)
    if (http::find_header({header}, "WWW-Authenticate")) made.challenges.push_back(header.second);
  return made;
}

chunk::Origin origin_of(const oci::Reference& reference) {
  return {reference.registry, reference.repository};
}

}  // namespace

Permission MirrorUpstream::ask(const oci::Reference& reference, const std::string& authorization,
                               util::SteadyTime deadline) {
  if (authorization.empty()) return ask_for_nobody(reference, deadline);
  return permission_of(parts_.registry.relay(
      origin_of(reference), "HEAD", "manifests/" + reference.target(),
      {{"Accept", oci::accept_header()}, {"Authorization", authorization}}, deadline));
}

Permission MirrorUpstream::ask_for_nobody(const oci::Reference& reference,
                                          util::SteadyTime deadline) {
  // What is given to us without a credential is given to anybody.
  auto given =
      parts_.registry.manifest(reference, deadline, parts_.registry.has_credentials(reference));
  if (given) return {Kind::allowed, 0, {}, mirror::Document::of(std::move(given->bytes))};
  util::log::info("mirror: {}: {}", reference.to_string(), given.failure().message);
  if (given.failure().fault == Fault::not_found) return {Kind::absent};
  if (given.failure().fault != Fault::denied) return {Kind::unknown};
  auto said = permission_of(parts_.registry.relay(origin_of(reference), "HEAD",
                                                  "manifests/" + reference.target(),
                                                  {{"Accept", oci::accept_header()}}, deadline));
  if (said.kind != Kind::denied) said = {Kind::denied, 403};
  return said;
}

bool MirrorUpstream::known_public(const oci::Reference& reference) {
  return parts_.catalog.access(repository_name(reference)).known_public;
}

bool MirrorUpstream::has_credentials(const oci::Reference& reference) {
  return parts_.registry.has_credentials(reference);
}

Outcome<mirror::Document> MirrorUpstream::manifest(const oci::Reference& reference,
                                                   const std::string& authorization,
                                                   util::SteadyTime deadline) {
  auto given = parts_.registry.manifest(reference, deadline, !authorization.empty(), authorization);
  if (!given) return given.failure();
  return mirror::Document::of(std::move(given->bytes));
}

void MirrorUpstream::lend(const oci::Reference& reference, const std::string& authorization) {
  parts_.registry.lend(origin_of(reference), authorization);
}

std::optional<mirror::Document> MirrorUpstream::from_members(const oci::Reference& reference) {
  auto* const node = parts_.node;
  if (!node || !node->swarm().has_peers() || parts_.registry.has_credentials(reference))
    return std::nullopt;
  auto answer = std::make_shared<std::promise<std::optional<swarm::GivenManifest>>>();
  auto future = answer->get_future();
  const auto until = std::chrono::steady_clock::now() + kMemberPatience;
  asking_.post(util::Workers::Urgency::normal, [this, until, node, reference, answer] {
    // Nobody waits any more.
    if (stopping_ || std::chrono::steady_clock::now() >= until)
      return answer->set_value(std::nullopt);
    try {
      answer->set_value(node->swarm().find_manifest(reference.to_string(), reference.digest,
                                                    oci::Platform::host().to_string(), until));
    } catch (const std::exception& error) {
      util::log::warning("mirror: {}: {}", reference.to_string(), error.what());
      answer->set_value(std::nullopt);
    }
  });
  if (future.wait_for(kMemberPatience) != std::future_status::ready) return std::nullopt;
  auto given = future.get();
  if (!given) return std::nullopt;
  return mirror::Document::of(std::move(given->bytes));
}

Outcome<http::Response> MirrorUpstream::relay(const mirror::Route& route, const std::string& method,
                                              const std::string& query,
                                              const http::Headers& headers,
                                              util::SteadyTime deadline) {
  return parts_.registry.relay(origin_of(route.reference), method, route.path() + query, headers,
                               deadline);
}

registry::GetOrder MirrorUpstream::order_for(const oci::Reference& blob, util::ByteRange range,
                                             const std::string& authorization, chunk::Class cls) {
  auto order = order_of(blob, range);
  order.authorization = authorization;
  // What is given to us without a credential is given to anybody.
  order.anonymous = !authorization.empty() || parts_.registry.has_credentials(blob);
  order.cls = authorization.empty() ? cls : chunk::Class::fault;
  return order;
}

Outcome<util::Bytes> MirrorUpstream::bytes_of(const oci::Reference& blob, util::ByteRange range,
                                              const std::string& authorization, chunk::Class cls,
                                              util::SteadyTime deadline) {
  auto order = order_for(blob, range, authorization, cls);
  order.deadline = deadline;
  return blob_range(parts_.registry, std::move(order));
}

std::unique_ptr<chunk::Transfer> MirrorUpstream::front_of(const oci::Reference& blob, uint64_t end,
                                                          const std::string& authorization,
                                                          chunk::Source::OnData on_data,
                                                          chunk::Source::OnDone on_done) {
  auto order = order_for(blob, {0, end}, authorization, chunk::Class::pull);
  order.whole = true;
  order.on_data = std::move(on_data);
  order.on_done = [done = std::move(on_done)](const Outcome<http::Response>& outcome) {
    done(outcome ? Outcome(util::Done{}) : outcome.failure());
  };
  return parts_.registry.get(std::move(order));
}

void MirrorUpstream::note_index(const oci::Reference& reference, const mirror::Document& document,
                                const oci::Index& index, mirror::Word word) {
  if (reference.tag.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  auto choices = choices_.lock();
  std::erase_if(*choices, [&](const auto& one) { return now - one.second.at > kChoiceStands; });
  if (choices->size() > kMostChoices) choices->clear();
  for (const auto& one : index.manifests)
    if (one.platform)
      (*choices)[{repository_name(reference), one.digest}] = {reference, *one.platform,
                                                              document.bytes, word, now};
}

void MirrorUpstream::learnt(const oci::Reference& reference, const mirror::Document& document,
                            mirror::Word word) {
  const auto parsed = oci::parse_manifest(*document.bytes);
  if (!parsed) return;  // an artifact: its blobs come from the registry alone
  if (const auto* index = std::get_if<oci::Index>(&*parsed))
    return word != mirror::Word::member ? note_index(reference, document, *index, word) : void();
  take_in(reference, oci::Platform::host(), {document.digest, *document.bytes, {}}, word);
}

void MirrorUpstream::take_in(const oci::Reference& reference, const oci::Platform& platform,
                             const image::Resolved& resolved, mirror::Word word) {
  // Whether others may have what a caller got in his own name says the registry.
  if (word == mirror::Word::caller)
    static_cast<void>(parts_.catalog.found(reference, platform, resolved, {}));
  else
    parts_.catalog.resolved(reference, platform, resolved,
                            word == mirror::Word::member ? std::optional(true) : std::nullopt);
}

std::optional<MirrorUpstream::Choice> MirrorUpstream::take_choice(const std::string& repository,
                                                                  const util::Digest& manifest) {
  auto choices = choices_.lock();
  auto taken = choices->extract({repository, manifest});
  if (!taken || std::chrono::steady_clock::now() - taken.mapped().at > kChoiceStands)
    return std::nullopt;
  return std::move(taken.mapped());
}

void MirrorUpstream::gave(const oci::Reference& reference, const mirror::Document& document,
                          mirror::Word word) {
  const auto parsed = oci::parse_manifest(*document.bytes);
  const auto* manifest = parsed ? std::get_if<oci::Manifest>(&*parsed) : nullptr;
  if (!manifest) return;
  // What the ledger knew the index has named by now.
  if (const auto choice = take_choice(repository_name(reference), document.digest))
    take_in(choice->reference, choice->platform,
            {document.digest, *document.bytes, {*choice->index}},
            word == mirror::Word::ledger ? choice->word : word);
  auto blobs = manifest->layers;
  blobs.push_back(manifest->config);
  parts_.manifests.announce(reference, blobs);
}

void MirrorUpstream::showed(const std::string& repository, const util::Digest& blob) {
  parts_.catalog.showed(blob, repository);
}

std::shared_ptr<const void> MirrorUpstream::opened(const chunk::LayerRef& blob) {
  return parts_.library.open_known(blob);
}

std::shared_ptr<const void> MirrorUpstream::claimed(const chunk::LayerRef& blob,
                                                    const std::string& media_type) {
  try {
    if (!oci::is_layer(media_type)) return parts_.library.open_known(blob);
    return parts_.library.open_if_claimed(blob, std::chrono::steady_clock::now() + kClaimPatience);
  } catch (const std::exception& error) {  // of the disk, which may be full
    util::log::warning("mirror: layer {}: {}", blob.digest.short_hex(), error.what());
    return nullptr;
  }
}

bool MirrorUpstream::dispute(const chunk::LayerRef& blob) {
  const auto content = parts_.library.open_known(blob);
  if (content && parts_.library.dispute(*content))
    post(settlements_, blob.digest, [this, content] {
      if (stopping_ || content->standing->dispute() != content::Standing::Dispute::open) return;
      if (const auto settled = parts_.library.settle(*content); !settled)
        util::log::error("mirror: {}", settled.failure().message);
    });
  return !parts_.fetcher.open(blob)->claimed();
}

void MirrorUpstream::disprove(const chunk::LayerRef& blob) {
  const auto content = parts_.library.open_known(blob);
  if (!content) return;
  const auto verified = parts_.library.verify(*content);
  if (!verified && verified.failure().fault != Fault::corrupt) dispute(blob);
}

void MirrorUpstream::post(util::Workers& to, const util::Digest& layer, std::function<void()> job,
                          util::Workers::Urgency urgency) {
  to.post(urgency, [layer, job = std::move(job)] {
    util::take_low_priority();
    try {
      job();
    } catch (const std::exception& error) {
      util::log::error("mirror: layer {}: {}", layer.short_hex(), error.what());
    }
  });
}

void MirrorUpstream::complete(const chunk::LayerRef& blob, const std::string& media_type) {
  // What is no layer has no index, but may have come on a member's word.
  if (!oci::is_layer(media_type) && !parts_.fetcher.open(blob)->claimed()) return;
  if (!finishing_.lock()->insert(blob.digest).second) return;
  post(finishers_, blob.digest, [this, blob] {
    const std::shared_ptr<void> ended(
        nullptr, [this, blob](void*) { finishing_.lock()->erase(blob.digest); });
    finish(blob);
  });
}

void MirrorUpstream::resume() {
  for (const auto& digest : parts_.catalog.stored_layers()) {
    const auto job = [this, digest] { finish_left(digest); };
    post(finishers_, digest, job, util::Workers::Urgency::normal);
  }
}

void MirrorUpstream::finish_left(const util::Digest& digest) {
  // For nobody: whose it is only says in whose name its bytes came.
  const chunk::LayerRef blob{digest, parts_.store.size_of(digest).value_or(0), {}};
  if (stopping_ || blob.size == 0) return;
  const auto layer = parts_.fetcher.open(blob);
  if (layer->is_whole() && !layer->stored().verified()) finish(blob);
}

bool MirrorUpstream::bring_rest(const std::shared_ptr<fetch::Layer>& layer) {
  auto answer = std::make_shared<std::promise<bool>>();
  auto future = answer->get_future();
  const auto operation = parts_.fetcher.bring_in(
      layer, chunk::Class::backfill,
      [answer](const Outcome<util::Done>& outcome) { answer->set_value(bool(outcome)); });
  while (future.wait_for(std::chrono::milliseconds(200)) != std::future_status::ready)
    if (stopping_) return false;
  return future.get();
}

void MirrorUpstream::finish(const chunk::LayerRef& blob) {
  const auto layer = parts_.fetcher.open(blob);
  // Evicted meanwhile: for nobody nothing is brought in.
  if (blob.origins.empty() && !layer->is_whole()) return;
  if (stopping_ || !bring_rest(layer)) return;
  const auto content = parts_.library.open(blob);
  if (!content) {
    util::log::info("mirror: layer {}: {}", blob.digest.short_hex(), content.failure().message);
    return;
  }
  // Its settlement, which is under way, does the same with better sources.
  if ((*content)->standing->dispute() == content::Standing::Dispute::open) return;
  if (const auto verified = parts_.library.verify(**content); !verified)
    util::log::warning("mirror: layer {}: {}", blob.digest.short_hex(), verified.failure().message);
}

}  // namespace swarmfs::daemon
