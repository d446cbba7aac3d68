// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/layer_library.h"

#include <future>

#include "content/document_names.h"
#include "content/inflated_layer.h"
#include "util/log.h"

namespace swarmfs::content {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr const char* kFailures = "swarmfs_verification_failures_total";
constexpr const char* kFailuresHelp = "Bytes that did not match their digest or hash tree";

}  // namespace

LayerLibrary::LayerLibrary(fetch::Fetcher& fetcher, chunk::Store& store, util::Metrics& metrics,
                           ClaimSource* claims)
    : fetcher_(fetcher),
      store_(store),
      claims_(claims),
      mismatches_(metrics.counter(kFailures, kFailuresHelp, {{"source", "registry"}})),
      lies_(metrics.counter(kFailures, kFailuresHelp, {{"source", "peer"}})),
      keeping_(store) {
  auto trees = trees_.lock();
  for (const auto& name : store.documents(std::string(kTrees)))
    if (const auto layer = util::Digest::parse("sha256:" + name.substr(kTrees.size())))
      trees->insert(*layer);
}

bool LayerLibrary::may_publish(const util::Digest& digest) const {
  return claims_ && trees_.lock()->contains(digest) && keeping_.complete(digest);
}

std::shared_ptr<Content> LayerLibrary::known(const util::Digest& digest) {
  auto known = known_.lock();
  const auto found = known->find(digest);
  auto content = found == known->end() ? nullptr : found->second.lock();
  return content && !content->standing->refuted() ? content : nullptr;
}

std::shared_ptr<Content> LayerLibrary::assemble(const chunk::LayerRef& ref, layer::LayerIndex index,
                                                Standing::Document document) {
  auto made = std::make_shared<Content>();
  made->bytes = fetcher_.open(ref);
  if (document) made->bytes->seal(document->tree, document->claimant);
  if (!index.seekable())
    made->space = store_.open(ref.digest, index.space_size, chunk::Form::space);
  const auto windows = windows_tree(index);
  keeping_.note(ref.digest, windows);
  if (windows->size() > 0) {
    auto stored =
        fetcher_.open(chunk::LayerRef::windows_of(ref, windows_name(*windows), windows->size()));
    stored->seal(windows);
    made->windows = std::make_shared<Windows>(fetcher_, std::move(stored));
  }
  made->index = std::make_shared<const layer::LayerIndex>(std::move(index));
  made->standing = std::make_shared<Standing>(std::move(document), ++generations_);
  // All readers of a layer must share one standing.
  auto known = known_.lock();
  auto& slot = (*known)[ref.digest];
  if (auto other = slot.lock(); other && !other->standing->refuted()) return other;
  slot = made;
  return made;
}

Standing::Document LayerLibrary::load_tree(const util::Digest& digest, util::ByteView index) {
  const auto stored = store_.load_document(tree_name(digest));
  if (!stored) return nullptr;
  auto document = TreeDocument::parse(*stored);
  // Another index: a crash came between the two documents.
  if (document && document->index == util::Sha256::of(index))
    return std::make_shared<const TreeDocument>(std::move(*document));
  util::log::warning(
      "layer {}: {}; it is made again", digest.short_hex(),
      document ? "the hash tree belongs to another index" : document.failure().message);
  return nullptr;
}

std::shared_ptr<Content> LayerLibrary::open_known(const chunk::LayerRef& ref) {
  if (auto content = known(ref.digest)) {
    // Also what is known may have to be fetched, from wherever it can be.
    static_cast<void>(fetcher_.open(ref));
    if (content->windows) {
      const auto& windows = content->windows->stored()->ref();
      static_cast<void>(
          fetcher_.open(chunk::LayerRef::windows_of(ref, windows.digest, windows.size)));
    }
    return content;
  }
  const auto stored = store_.load_document(index_name(ref.digest));
  if (!stored) return nullptr;
  if (!layer::LayerIndex::recognises(*stored)) {
    if (!old_version_told_.exchange(true))
      util::log::info("layer indexes of another version are here; each is made again when wanted");
    return nullptr;
  }
  auto index = layer::LayerIndex::parse(*stored);
  if (!index || index->layer_size != ref.size) {
    util::log::warning("layer {}: {}; it is made again", ref.digest.short_hex(),
                       index ? "the index is of another size" : index.failure().message);
    return nullptr;
  }
  auto document = load_tree(ref.digest, *stored);
  if (document && document->tree->size() != ref.size) document = nullptr;
  return assemble(ref, std::move(*index), std::move(document));
}

LayerLibrary::Opened LayerLibrary::open(const chunk::LayerRef& ref) {
  if (auto content = open_known(ref)) return content;
  const auto bytes = fetcher_.open(ref);  // another caller's pass learns our origins
  for (;;) {
    auto opened = building_.run(ref.digest, "indexing", [&]() -> Opened {
      if (auto content = open_known(ref)) return content;
      if (auto content = open_claimed(ref, [&] { return claims_->find(ref); })) return content;
      return build(ref);
    });
    if (!opened || *opened) return opened;
  }
}

void LayerLibrary::mark_verified(fetch::Layer& layer) {
  layer.stored().mark_verified();
  if (claims_) claims_->proven(layer);
}

Failure LayerLibrary::drop(fetch::Layer& layer, const std::string& why) {
  layer.discard(why);
  mismatches_.add();
  Failure failure{Fault::corrupt, "layer " + layer.ref().digest.to_string() + " " + why +
                                      "; its bytes were dropped"};
  util::log::error("{}", failure.message);
  return failure;
}

Standing::Document LayerLibrary::keep(fetch::Layer& layer, const layer::LayerIndex& index,
                                      util::ByteView index_document, TreeDocument document) {
  document.index = util::Sha256::of(index_document);
  keeping_.note(layer.ref().digest, windows_tree(index));
  store_.save_document(index_name(layer.ref().digest), index_document);
  store_.save_document(tree_name(layer.ref().digest), document.serialize());
  trees_.lock()->insert(layer.ref().digest);
  layer.seal(document.tree, document.claimant);
  return std::make_shared<const TreeDocument>(std::move(document));
}

Standing::Document LayerLibrary::keep(const Content& content, const layer::LayerIndex& index,
                                      LayerPass& pass) {
  auto document = keep(*content.bytes, index, index.serialize(), {pass.tree, {}, {}, {}});
  const bool filled = keeping_.fill(content.ref().digest, pass.windows);
  if (!content.windows || !content.index->says_the_same(index)) return document;
  const bool named_so = content.index->windows == index.windows;
  if (!filled || !named_so) content.windows->take(index, std::move(pass.windows));
  return document;
}

LayerLibrary::Opened LayerLibrary::build(const chunk::LayerRef& ref) {
  auto bytes = fetcher_.open(ref);
  const bool inherited = bytes->stored().bytes_present() > 0;
  auto pass = pass_over(fetcher_, bytes, {});
  if (pass && pass->digest != ref.digest && (inherited || bytes->bytes_by_source()["peer"] > 0)) {
    // It may have been a peer, in this run or an earlier one, or the disk.
    bytes->discard(kMismatch);
    pass = pass_over(fetcher_, bytes, {.no_peers = true});
  }
  if (!pass) return pass.failure();
  // The digest decides whether the registry lied or the image is broken.
  if (pass->digest != ref.digest) return drop(*bytes, kMismatch);
  mark_verified(*bytes);
  if (!pass->index)
    return Failure{Fault::invalid,
                   "layer " + ref.digest.to_string() + " is no usable archive: " + pass->no_index};
  auto content = assemble(ref, std::move(*pass->index), nullptr);
  content->standing->set_document(keep(*content, *content->index, *pass));
  if (content->space)
    if (const auto filled = fill_space(*content); !filled) return filled.failure();
  return content;
}

std::optional<Published> LayerLibrary::published(const util::Digest& digest) {
  if (!claims_) return std::nullopt;
  auto index = store_.load_document(index_name(digest));
  if (!index || !layer::LayerIndex::recognises(*index) || !keeping_.complete(digest))
    return std::nullopt;
  const auto content = known(digest);
  if (content && content->standing->dispute() == Standing::Dispute::open) return std::nullopt;
  const auto document = content ? content->standing->document() : load_tree(digest, *index);
  if (!document || document->index != util::Sha256::of(*index)) return std::nullopt;
  const auto& tree = *document->tree;
  std::string claim = document->claimed()
                          ? document->claim
                          : claims_->sign(digest, tree.size(), tree.root(), document->index);
  if (claim.empty()) return std::nullopt;
  return Published{std::move(*index), tree.leaf_bytes(), std::move(claim), tree.root(),
                   tree.size()};
}

Outcome<util::Done> LayerLibrary::make_windows(const Content& content, bool wrong) {
  return making_windows_.run(content.ref().digest, "making the windows of",
                             [&] { return make_windows_now(content, wrong); });
}

LayerLibrary::Settled LayerLibrary::make_windows_now(const Content& content, bool wrong) {
  const auto& digest = content.ref().digest;
  if (content.windows->taken() || (!wrong && keeping_.complete(digest))) return util::Done{};
  const auto document = content.standing->document();
  if (wrong && document && document->claimed())
    blame(document->claimant, digest, "its windows are not those that its index names");
  util::log::info("layer {}: its windows are made again: {}", digest.short_hex(),
                  wrong ? "those that are here are wrong" : "nobody has them to give");
  return check(content, chunk::Class::pull, Made::index);
}

void LayerLibrary::read_windows(const util::Digest& layer, const util::Digest& name,
                                util::ByteRange range, WindowKeeping::OnRead on_read) {
  keeping_.read(layer, name, range, std::move(on_read));
}

util::Operation LayerLibrary::read_space(const Content& content, util::ByteRange range,
                                         SpaceFills::OnRead on_read) {
  const auto open = [this, bytes = content.bytes, size = content.space->size()] {
    return std::make_unique<InflatedLayer>(
        fetcher_, bytes, size, [this, bytes](const std::string& why) { return drop(*bytes, why); });
  };
  return fills_.read(content.space, range, open, std::move(on_read));
}

Outcome<util::Done> LayerLibrary::fill_space(const Content& content) {
  std::promise<Outcome<util::SharedBytes>> promise;
  const auto operation = read_space(content, {}, [&](Outcome<util::SharedBytes> outcome) {
    promise.set_value(std::move(outcome));
  });
  const auto filled = promise.get_future().get();
  if (!filled) return filled.failure();
  return util::Done{};
}

}  // namespace swarmfs::content
