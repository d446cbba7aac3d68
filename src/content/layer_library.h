// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "chunk/store.h"
#include "content/claim_source.h"
#include "content/content.h"
#include "content/layer_pass.h"
#include "content/running_digest.h"
#include "content/space_fills.h"
#include "content/vain_looks.h"
#include "content/window_keeping.h"
#include "fetch/fetcher.h"
#include "util/metrics.h"
#include "util/once.h"
#include "util/sync.h"

namespace swarmfs::content {

/// What this node can tell others of a layer.
struct Published {
  util::Bytes index;   ///< the layer index document
  util::Bytes leaves;  ///< of the hash tree, 32 bytes per block
  std::string claim;   ///< this node's own, or the one that it believed
  util::Digest root;
  uint64_t size = 0;  ///< of the layer
};

/// Layers by digest, with their indexes and hash trees: from memory, from the store's documents
/// "index/<hex>" and "tree/<hex>", from another node's claim, or made by streaming the layer once.
/// The windows of an index (content/windows) are kept beside it, or come from members as they are
/// needed; who lacks one that nobody gives makes them all, by streaming the layer.
/// Any thread; calls block (a caller brings a thread of its own).
class LayerLibrary {
 public:
  /// `claims` may be null: no cluster. It must outlive the library.
  LayerLibrary(fetch::Fetcher& fetcher, chunk::Store& store, util::Metrics& metrics,
               ClaimSource* claims = nullptr);

  /// Fault::corrupt when the whole layer does not match its digest, or is not an archive; its bytes
  /// are dropped then. Callers for the same layer share one pass.
  util::Outcome<std::shared_ptr<Content>> open(const chunk::LayerRef& ref);
  /// Only what needs no source; empty when there is no usable index.
  std::shared_ptr<Content> open_known(const chunk::LayerRef& ref);
  /// As open_known(), or by another node's claim that is found until `until`: for whom bytes that
  /// are checked are better, but no reason to wait. Empty at once where a short while ago none was
  /// found, where the layer is whole or somebody is opening it, or too many look.
  std::shared_ptr<Content> open_if_claimed(const chunk::LayerRef& ref, util::SteadyTime until);
  /// Compares a layer of which every byte is present with its digest, and what was claimed of it
  /// with what it is, unless that was done; makes the hash tree where there is none. A liar is
  /// blamed. Fault::corrupt: the bytes did not match and were dropped, or the index that `content`
  /// has is a lie (open() gives the true one). Fault::not_found: bytes are missing. Callers for the
  /// same content share one pass.
  util::Outcome<util::Done> verify(const Content& content);
  /// What of verify() costs little, for who waits: the digest alone, where there is a hash tree.
  /// What is claimed stays a claim until verify() looks at it. `digest`: as far as it was hashed
  /// while the layer came.
  util::Outcome<util::Done> verify_digest(RunningDigest& digest);
  /// Whether a Fault::corrupt of this content's bytes may be the fault of a claim. The claimed tree
  /// and all bytes under it are laid aside then, when this returns: reads go on as in a provisional
  /// layer, and settle() must be called.
  bool dispute(const Content& content);
  /// Streams the whole layer to see who lied, the claimant or the source, with consequences as in
  /// verify(). Done when that was just done; Fault::corrupt as well when there is no dispute.
  util::Outcome<util::Done> settle(const Content& content);
  /// Makes the windows of the content's index, of which some cannot be had, by streaming the whole
  /// layer, with consequences as in verify(). `wrong`: what could be had of them was not what the
  /// index says, which is its claimant's lie. Callers for the same layer share one pass.
  util::Outcome<util::Done> make_windows(const Content& content, bool wrong);
  /// Of the windows of a layer's index, for another node: see WindowKeeping::read().
  void read_windows(const util::Digest& layer, const util::Digest& name, util::ByteRange range,
                    WindowKeeping::OnRead on_read);
  /// Of a layer that has no random access: a range of its data space that is not stored, by joining
  /// or beginning the fill of the space; see SpaceFills::read().
  [[nodiscard]] util::Operation read_space(const Content& content, util::ByteRange range,
                                           SpaceFills::OnRead on_read);
  /// Empty: no cluster, no hash tree, windows that are not all here, or a claim in dispute.
  std::optional<Published> published(const util::Digest& digest);
  /// Whether published() is worth asking. Never blocks.
  [[nodiscard]] bool may_publish(const util::Digest& digest) const;

 private:
  using Opened = util::Outcome<std::shared_ptr<Content>>;
  using Settled = util::Outcome<util::Done>;

  static constexpr const char* kMismatch = "does not match its digest";

  Opened build(const chunk::LayerRef& ref);
  util::Outcome<util::Done> fill_space(const Content& content);
  std::shared_ptr<Content> known(const util::Digest& digest);
  std::shared_ptr<Content> assemble(const chunk::LayerRef& ref, layer::LayerIndex index,
                                    Standing::Document document);
  Standing::Document load_tree(const util::Digest& digest, util::ByteView index);
  Standing::Document keep(fetch::Layer& layer, const layer::LayerIndex& index,
                          util::ByteView index_document, TreeDocument document);
  Standing::Document keep(const Content& content, const layer::LayerIndex& index, LayerPass& pass);
  void mark_verified(fetch::Layer& layer);
  util::Failure drop(fetch::Layer& layer, const std::string& why);
  Settled make_windows_now(const Content& content, bool wrong);
  /// Of verify(), where that is known without a look at the bytes.
  static std::optional<Settled> verdict(const Content& content, bool with_index);
  Settled check(const Content& content, chunk::Class cls, Made made);
  // Claims (claims.cpp)
  std::shared_ptr<Content> look_for_claim(const chunk::LayerRef& ref, util::SteadyTime until);
  using Find = std::function<std::optional<SealedLayer>()>;
  std::shared_ptr<Content> open_claimed(const chunk::LayerRef& ref, const Find& find);
  Settled settle_now(const Content& content);
  util::Outcome<LayerPass> pass_without_peers(const Content& content);
  Settled conclude(const Content& content, LayerPass pass);
  util::Failure refute(const Content& content, const std::string& why);
  void blame(const std::string& claimant, const util::Digest& layer, const std::string& why);

  template <class T>
  struct OncePerLayer {
    template <class Work>
    util::Outcome<T> run(const util::Digest& layer, const std::string& doing, Work work) {
      return once.run(layer, "while " + doing + " layer " + layer.short_hex() + ": ", work);
    }
    template <class Work>
    std::optional<util::Outcome<T>> try_run(const util::Digest& layer, const std::string& doing,
                                            Work work) {
      return once.try_run(layer, "while " + doing + " layer " + layer.short_hex() + ": ", work);
    }
    util::Once<util::Digest, T> once;
  };

  fetch::Fetcher& fetcher_;
  chunk::Store& store_;
  ClaimSource* const claims_;
  util::Metrics::Counter& mismatches_;
  util::Metrics::Counter& lies_;
  std::atomic<uint64_t> generations_{0};
  util::Sync<std::map<util::Digest, std::weak_ptr<Content>>> known_;
  mutable util::Sync<std::set<util::Digest>> trees_;  ///< of layers whose hash tree is stored
  WindowKeeping keeping_;
  std::atomic<bool> old_version_told_{false};
  OncePerLayer<std::shared_ptr<Content>> building_;  ///< null: it only looked for a claim
  OncePerLayer<std::shared_ptr<Content>> looking_;
  VainLooks vain_looks_;
  util::Once<const Standing*, util::Done> verifying_;
  OncePerLayer<util::Done> laying_aside_;
  OncePerLayer<util::Done> settling_;
  OncePerLayer<util::Done> making_windows_;
  SpaceFills fills_;  ///< last: its fills use the others
};

}  // namespace swarmfs::content
