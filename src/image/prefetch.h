// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fetch/fetcher.h"

namespace swarmfs::image {

struct Wish {
  std::shared_ptr<fetch::Layer> layer;
  util::ByteRange bytes;
  bool optional = false;  ///< the others are worth it without this one
};

/// Brings in absent ranges as class prefetch, in order, with a bounded number of bytes under way so
/// that an unforeseen fault does not wait long behind them. Ends with the first that fails.
/// `on_done` runs once, on a source's thread or inside the call. The operation stops it.
[[nodiscard]] util::Operation prefetch(fetch::Fetcher& fetcher, std::vector<Wish> wishes,
                                       std::function<void()> on_done);

}  // namespace swarmfs::image
