// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>

#include "layer/layer_index.h"
#include "util/units.h"

namespace swarmfs::layer {

struct IndexerOptions {
  uint64_t checkpoint_interval = 256 * 1024;  ///< bytes of data space
  /// Sees the data space in order; the view dies with the call.
  std::function<void(util::ByteView)> on_space;
};

struct Indexed {
  LayerIndex index;
  util::Bytes windows;  ///< that belong to it
};

/// Makes the index of a layer in one pass over its compressed bytes. The format is told by its
/// first bytes. Not thread-safe.
class Indexer {
 public:
  explicit Indexer(IndexerOptions options = {});
  ~Indexer();
  /// The next bytes, in pieces of any size. Throws BadLayer.
  void feed(util::ByteView compressed);
  /// After the last byte. Throws BadLayer on truncation.
  [[nodiscard]] Indexed finish();

  struct Pass;

 private:
  std::unique_ptr<Pass> pass_;
};

}  // namespace swarmfs::layer
