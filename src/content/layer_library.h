// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <future>
#include <map>
#include <memory>

#include "chunk/store.h"
#include "content/content.h"
#include "fetch/fetcher.h"
#include "util/metrics.h"
#include "util/sync.h"

namespace swarmfs::content {

/// Layers by digest, with their indexes: from memory, from the store's document "index/<hex>", or
/// made by streaming the layer once. Any thread; calls block (a caller brings a thread of its own).
class LayerLibrary {
 public:
  LayerLibrary(fetch::Fetcher& fetcher, chunk::Store& store, util::Metrics& metrics);

  /// Fault::corrupt when the whole layer does not match its digest, or is not an archive; its bytes
  /// are dropped then. Callers for the same layer share one pass.
  util::Outcome<std::shared_ptr<Content>> open(const chunk::LayerRef& ref);
  /// Only what needs no source; empty when there is no usable index.
  std::shared_ptr<Content> open_known(const chunk::LayerRef& ref);
  /// Compares a layer of which every byte is present with its digest, unless that was done.
  /// Fault::corrupt: it does not match and was dropped. Fault::not_found: bytes are missing.
  util::Outcome<util::Done> verify(const Content& content);
  /// Inflates a layer that has no random access into its space, and gives the bytes of `wanted`
  /// seen in passing.
  util::Outcome<util::SharedBytes> fill_space(const Content& content, util::ByteRange wanted);

 private:
  using Opened = util::Outcome<std::shared_ptr<Content>>;
  Opened build(const chunk::LayerRef& ref);
  std::shared_ptr<Content> assemble(const chunk::LayerRef& ref, layer::LayerIndex index);
  util::Failure drop(fetch::Layer& layer, const std::string& why);

  fetch::Fetcher& fetcher_;
  chunk::Store& store_;
  util::Metrics::Counter& mismatches_;
  util::Sync<std::map<util::Digest, std::weak_ptr<Content>>> known_;
  util::Sync<std::map<util::Digest, std::shared_future<Opened>>> building_;
};

}  // namespace swarmfs::content
