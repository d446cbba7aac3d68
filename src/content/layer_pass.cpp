// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/layer_pass.h"

#include "content/layer_stream.h"
#include "layer/bad_layer.h"
#include "layer/indexer.h"

namespace swarmfs::content {

namespace {

/// An Indexer that can be fed on after it met something bad: the digest decides whether the bytes
/// are wrong or the image is broken.
class PatientIndexer {
 public:
  explicit PatientIndexer(bool wanted) : wanted_(wanted) {}
  void feed(util::ByteView bytes) {
    attempt([&] { indexer_.feed(bytes); });
  }
  void finish(LayerPass& pass) {
    attempt([&] {
      auto made = indexer_.finish();
      pass.index = std::move(made.index);
      pass.windows = std::move(made.windows);
    });
    pass.no_index = bad_;
  }

 private:
  template <class Call>
  void attempt(Call call) {
    try {
      if (wanted_ && bad_.empty()) call();
    } catch (const layer::BadLayer& error) {
      bad_ = error.what();
    }
  }
  const bool wanted_;
  layer::Indexer indexer_;
  std::string bad_;
};

}  // namespace

util::Outcome<LayerPass> pass_over(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer,
                                   PassOptions options) {
  // While this looks at the layer front to back, our share of it comes in for all (fetch).
  util::Operation ahead;
  if (!options.no_peers)
    ahead = fetcher.bring_in(layer, options.cls, [](const util::Outcome<util::Done>&) {});
  LayerStream stream(fetcher, std::move(layer),
                     {.cls = options.cls, .cause = "index", .for_peer = options.no_peers});
  PatientIndexer indexer(options.made == Made::index);
  util::Sha256 hash;
  chunk::HashTreeBuilder tree;
  for (;;) {
    const auto piece = stream.next();
    if (!piece) return piece.failure();
    if (piece->size() == 0) break;
    hash.update(piece->view());
    tree.feed(piece->view());
    indexer.feed(piece->view());
  }
  LayerPass pass{options.made, hash.finish(), {}, {}, {}, {}};
  pass.tree = std::make_shared<const chunk::HashTree>(tree.finish());
  indexer.finish(pass);
  return pass;
}

}  // namespace swarmfs::content
