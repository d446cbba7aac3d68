// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>

#include "chunk/hash_tree.h"
#include "fetch/fetcher.h"
#include "layer/indexer.h"
#include "util/sync.h"

namespace swarmfs::content {

/// The hash tree that an index gives its windows.
std::shared_ptr<const chunk::HashTree> windows_tree(const layer::LayerIndex& index);
/// What they are named by (chunk::Form::windows): SHA-256 of the tree's root and their size, so
/// that an index that lies about the size of what another has names something else.
util::Digest windows_name(const chunk::HashTree& tree);

/// The windows of one layer's index, brought one at a time: from memory, the cache, or members that
/// have them all. Any thread.
class Windows {
 public:
  /// `stored`: of Form::windows, sealed with the index's tree.
  Windows(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> stored)
      : fetcher_(fetcher), stored_(std::move(stored)) {}

  /// The packed window of a checkpoint of `index`, which has one. As Fetcher::read(); what comes is
  /// right only as far as the index is: see LayerIndex::unpack().
  [[nodiscard]] util::Operation read(const layer::LayerIndex& index, size_t checkpoint,
                                     const chunk::FetchContext& context,
                                     fetch::Fetcher::OnRead on_read);
  /// From now on these are given: an index that says the same, and its windows.
  void take(layer::LayerIndex index, util::Bytes windows);
  [[nodiscard]] bool taken() const { return *own_.lock() != nullptr; }
  [[nodiscard]] const std::shared_ptr<fetch::Layer>& stored() const { return stored_; }

 private:
  struct Own {
    layer::LayerIndex index;
    util::SharedBytes windows;
  };
  fetch::Fetcher& fetcher_;
  const std::shared_ptr<fetch::Layer> stored_;
  util::Sync<std::shared_ptr<const Own>> own_;
};

}  // namespace swarmfs::content
