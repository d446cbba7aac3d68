// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "chunk/hash_tree.h"
#include "fetch/fetcher.h"
#include "layer/layer_index.h"

namespace swarmfs::content {

/// Of a layer, by a pass over it: its hash tree, or its index as well.
enum class Made { tree, index };

/// What one pass over all bytes of a layer tells.
struct LayerPass {
  Made made;
  util::Digest digest;
  std::shared_ptr<const chunk::HashTree> tree;
  std::optional<layer::LayerIndex> index;
  util::Bytes windows;   ///< of the index
  std::string no_index;  ///< why the bytes are no archive; empty with an index or unasked
};

struct PassOptions {
  chunk::Class cls = chunk::Class::pull;
  Made made = Made::index;
  bool no_peers = false;  ///< only the cache and the registry may supply the bytes
};

/// Blocking; one thread. A failure is one of fetching.
util::Outcome<LayerPass> pass_over(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer,
                                   PassOptions options);

}  // namespace swarmfs::content
