// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/inflated_layer.h"

#include "layer/bad_layer.h"
#include "layer/indexer.h"

namespace swarmfs::content {

InflatedLayer::InflatedLayer(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer,
                             uint64_t space_size, OnBad on_bad)
    : stream_(fetcher, std::move(layer),
              {.cls = chunk::Class::pull, .cause = "inflate", .awaited = true}),
      space_size_(space_size),
      on_bad_(std::move(on_bad)) {}

util::Outcome<util::Done> InflatedLayer::run(const Feed& feed) {
  try {
    return inflate(feed);
  } catch (const layer::BadLayer& error) {
    return on_bad_(std::string("cannot be inflated (") + error.what() + ")");
  }
}

util::Outcome<util::Done> InflatedLayer::inflate(const Feed& feed) {
  uint64_t fed = 0;
  layer::IndexerOptions options;
  options.on_space = [&](util::ByteView bytes) {
    if (bytes.size() > space_size_ - fed) throw layer::BadLayer("more data than its index says");
    fed += bytes.size();
    feed(bytes);
  };
  layer::Indexer inflater(std::move(options));
  for (;;) {
    const auto piece = stream_.next();
    if (!piece) return piece.failure();
    if (piece->size() == 0) break;
    inflater.feed(piece->view());
  }
  if (fed != space_size_) throw layer::BadLayer("less data than its index says");
  return util::Done{};
}

}  // namespace swarmfs::content
