// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>

#include "content/standing.h"
#include "content/windows.h"
#include "fetch/fetcher.h"
#include "layer/layer_index.h"

namespace swarmfs::content {

/// One layer ready to be read. Immutable but for its standing; shared by all who read it.
struct Content {
  std::shared_ptr<const layer::LayerIndex> index;
  std::shared_ptr<fetch::Layer> bytes;
  /// The inflated data space, for layers that cannot be inflated from the middle; else null.
  std::shared_ptr<chunk::StoredLayer> space;
  /// Null where the index needs none.
  std::shared_ptr<Windows> windows;
  std::shared_ptr<Standing> standing;

  [[nodiscard]] const chunk::LayerRef& ref() const { return bytes->ref(); }
};

}  // namespace swarmfs::content
