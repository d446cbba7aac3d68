// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// LayerLibrary: what other nodes claim of a layer, and what becomes of it.

#include "content/document_names.h"
#include "content/layer_library.h"
#include "util/log.h"

namespace swarmfs::content {

using chunk::Class;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr int kClaims = 3;

/// Why an index of another node cannot be true, as far as can be told without the layer.
std::string flaw(const SealedLayer& sealed, const chunk::LayerRef& ref,
                 const Outcome<layer::LayerIndex>& index) {
  if (!sealed.tree || sealed.tree->size() != ref.size) return "its hash tree is of another size";
  if (!index) return index.failure().message;
  if (index->layer_size != ref.size) return "its index is of another size";
  return "";
}

/// The bytes say `index`. Checkpoints of an index that this node made itself with an older version
/// may lie elsewhere and still be right.
bool agrees(const layer::LayerIndex& had, const std::optional<layer::LayerIndex>& index,
            bool claimed) {
  if (!index) return false;
  if (claimed) return had.says_the_same(*index);
  return had.compression == index->compression && had.space_size == index->space_size &&
         had.files == index->files;
}

}  // namespace

void LayerLibrary::blame(const std::string& claimant, const util::Digest& layer,
                         const std::string& why) {
  util::log::error("layer {}: what {} claims is wrong: {}", layer.short_hex(), claimant, why);
  lies_.add();
  if (claims_) claims_->blame(claimant, layer, why);
}

std::shared_ptr<Content> LayerLibrary::open_if_claimed(const chunk::LayerRef& ref,
                                                       util::SteadyTime until) {
  if (auto content = open_known(ref)) return content;
  if (!claims_ || fetcher_.open(ref)->is_whole()) return nullptr;
  const auto found = looking_.run(ref.digest, "looking for a claim of",
                                  [&]() -> Opened { return look_for_claim(ref, until); });
  return found ? *found : nullptr;
}

std::shared_ptr<Content> LayerLibrary::look_for_claim(const chunk::LayerRef& ref,
                                                      util::SteadyTime until) {
  if (!vain_looks_.begin(ref.digest, std::chrono::steady_clock::now())) return nullptr;
  // Whoever opens it meanwhile waits for the end of this, and looks itself where it was in vain.
  const auto found = building_.try_run(ref.digest, "looking for a claim of", [&]() -> Opened {
    try {
      if (auto content = open_known(ref)) return content;
      return open_claimed(ref, [&] { return claims_->find_soon(ref, until); });
    } catch (const std::exception& error) {
      util::log::warning("layer {}: no claim is taken: {}", ref.digest.short_hex(), error.what());
      return std::shared_ptr<Content>();
    }
  });
  const auto content = found && *found ? **found : nullptr;
  vain_looks_.end(ref.digest, found && !content, std::chrono::steady_clock::now());
  return content;
}

std::shared_ptr<Content> LayerLibrary::open_claimed(const chunk::LayerRef& ref, const Find& find) {
  if (!claims_) return nullptr;
  auto bytes = fetcher_.open(ref);
  if (bytes->is_whole()) return nullptr;
  for (int i = 0; i < kClaims; ++i) {
    auto sealed = find();
    // An index of another version is no lie, and of no use.
    if (!sealed || !layer::LayerIndex::recognises(sealed->index)) return nullptr;
    // What came meanwhile is about to be hashed: a claim tells nothing any more.
    if (bytes->is_whole()) return nullptr;
    auto index = layer::LayerIndex::parse(sealed->index);
    if (const auto why = flaw(*sealed, ref, index); !why.empty()) {
      blame(sealed->claimant, ref.digest, why);
      continue;
    }
    // It must be inflated as a whole anyway: then it can be hashed as well.
    if (!index->seekable()) return nullptr;
    // What is there of an earlier run has met no tree yet.
    if (bytes->stored().bytes_present() > 0)
      bytes->stored().suspect(chunk::blocks_covering({0, ref.size}));
    util::log::info("layer {}: index and hash tree of {}", ref.digest.short_hex(),
                    sealed->claimant);
    auto document =
        keep(*bytes, *index, sealed->index, {sealed->tree, {}, sealed->claimant, sealed->claim});
    return assemble(ref, std::move(*index), std::move(document));
  }
  return nullptr;
}

Outcome<util::Done> LayerLibrary::verify(const Content& content) {
  const auto verify_now = [&]() -> Settled {
    const auto document = content.standing->document();
    const bool proven = document && !document->claimed();
    if (auto known = verdict(content, !proven)) return *known;
    return check(content, Class::backfill, proven ? Made::tree : Made::index);
  };
  const auto failing = "while verifying layer " + content.ref().digest.short_hex() + ": ";
  return verifying_.run(content.standing.get(), failing, verify_now);
}

Outcome<util::Done> LayerLibrary::verify_digest(RunningDigest& digest) {
  const Content& content = digest.content();
  if (!content.standing->document()) return verify(content);
  if (auto known = verdict(content, false)) return *known;
  const auto found = digest.finish();
  if (!found) return found.failure();
  if (*found != content.ref().digest) return check(content, Class::backfill, Made::tree);
  mark_verified(*content.bytes);
  return verdict(content, false).value_or(util::Done{});
}

std::optional<LayerLibrary::Settled> LayerLibrary::verdict(const Content& content,
                                                           bool with_index) {
  const auto& stored = content.bytes->stored();
  if (content.standing->refuted())
    return Failure{Fault::corrupt, "the index of this layer was wrong; mount its images anew"};
  if (stored.verified() && !with_index) return util::Done{};
  if (!content.bytes->is_whole()) return Failure{Fault::not_found, "bytes are missing"};
  return std::nullopt;
}

LayerLibrary::Settled LayerLibrary::check(const Content& content, Class cls, Made made) {
  auto& stored = content.bytes->stored();
  for (bool again = false;; again = true) {
    const auto document = content.standing->document();
    auto pass = pass_over(fetcher_, content.bytes, {.cls = cls, .made = made});
    if (!pass) return pass.failure();
    if (pass->digest == content.ref().digest) return conclude(content, std::move(*pass));
    const bool as_claimed = document && pass->tree->root() == document->tree->root();
    if (document && document->claimed() && as_claimed) {
      content.bytes->discard(kMismatch);
      return refute(content, "the bytes under its root do not match the digest");
    }
    if (!document || again) {
      auto failure = drop(*content.bytes, kMismatch);
      if (document) content.bytes->seal(document->tree, document->claimant);
      return failure;
    }
    // The disk lost some of what was right when it came: only that is fetched again.
    stored.suspect(chunk::blocks_covering({0, stored.size()}));
  }
}

Failure LayerLibrary::refute(const Content& content, const std::string& why) {
  const auto& digest = content.ref().digest;
  const auto document = content.standing->document();
  content.standing->set_document(nullptr);
  content.standing->refute();
  content.bytes->seal(nullptr);
  trees_.lock()->erase(digest);
  store_.remove_document(tree_name(digest));
  store_.remove_document(index_name(digest));
  keeping_.forget(digest);
  if (document && document->claimed()) blame(document->claimant, digest, why);
  Failure failure{Fault::corrupt, "the index of layer " + digest.to_string() + " was wrong (" +
                                      why + "); mount its images anew"};
  util::log::error("{}", failure.message);
  return failure;
}

bool LayerLibrary::dispute(const Content& content) {
  auto& standing = *content.standing;
  const auto document = standing.document();
  if (!document || !document->claimed()) return false;
  // Who comes second waits as well: it is about to read on.
  const auto laid_aside =
      laying_aside_.run(content.ref().digest, "laying aside what is claimed of", [&]() -> Settled {
        if (!standing.open_dispute()) return util::Done{};
        util::log::warning(
            "layer {}: its sources contradict what {} claims; the whole layer decides",
            content.ref().digest.short_hex(), document->claimant);
        content.bytes->discard("is in dispute");
        standing.set_generation(++generations_);
        return util::Done{};
      });
  return laid_aside && standing.dispute() == Standing::Dispute::open;
}

LayerLibrary::Settled LayerLibrary::settle(const Content& content) {
  const auto& standing = *content.standing;
  // Somebody else's dispute was settled meanwhile.
  if (!standing.claimed() && !standing.refuted() && content.bytes->stored().verified())
    return util::Done{};
  if (!dispute(content))
    return Failure{Fault::corrupt,
                   "no source has the true bytes of layer " + content.ref().digest.to_string()};
  return settling_.run(content.ref().digest, "settling", [&] { return settle_now(content); });
}

Outcome<LayerPass> LayerLibrary::pass_without_peers(const Content& content) {
  auto pass = pass_over(fetcher_, content.bytes, {.no_peers = true});
  if (!pass || pass->digest == content.ref().digest) return pass;
  // Readers go on meanwhile, and what peers gave them may have come into the pass.
  content.bytes->discard(kMismatch);
  return pass_over(fetcher_, content.bytes, {.no_peers = true});
}

LayerLibrary::Settled LayerLibrary::settle_now(const Content& content) {
  auto& standing = *content.standing;
  const auto document = standing.document();
  if (!document || !document->claimed()) return util::Done{};
  auto pass = pass_without_peers(content);
  if (pass && pass->digest == content.ref().digest) return conclude(content, std::move(*pass));
  auto failure = pass ? drop(*content.bytes, kMismatch) : pass.failure();
  content.bytes->seal(document->tree, document->claimant);
  content.bytes->stored().suspect(chunk::blocks_covering({0, content.ref().size}));
  standing.set_dispute(pass ? Standing::Dispute::settled : Standing::Dispute::none);
  return failure;
}

LayerLibrary::Settled LayerLibrary::conclude(const Content& content, LayerPass pass) {
  auto& standing = *content.standing;
  mark_verified(*content.bytes);
  const auto document = standing.document();
  if (pass.made != Made::index) return verdict(content, false).value_or(util::Done{});
  const bool claimed = document && document->claimed();
  if (document && !claimed && !pass.index) return util::Done{};
  if (claimed && document->tree->root() != pass.tree->root())
    blame(document->claimant, content.ref().digest, "the layer has another root");
  const bool agreed = agrees(*content.index, pass.index, claimed);
  if (!agreed) {
    auto failure = refute(content, "its index is not that of the bytes");
    if (pass.index) keep(content, *pass.index, pass);
    return failure;
  }
  standing.set_document(keep(content, *pass.index, pass));
  standing.set_dispute(Standing::Dispute::none);
  return util::Done{};
}

}  // namespace swarmfs::content
