// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <memory>

#include "cache/cached_layer.h"

namespace swarmfs::cache {

/// Keeps the extents of a range from being evicted.
class CachedLayer::Lease {
 public:
  Lease(std::shared_ptr<CachedLayer> layer, util::ByteRange range)
      : layer_(std::move(layer)),
        first_(range.offset / kExtent),
        last_((range.end() - 1) / kExtent) {
    const uint32_t now = coarse_now();
    for (size_t i = first_; i <= last_; ++i) {
      ++layer_->extents_[i].leases;
      layer_->extents_[i].last_use = now;
    }
  }
  ~Lease() {
    for (size_t i = first_; i <= last_; ++i) --layer_->extents_[i].leases;
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  [[nodiscard]] bool meets_eviction() const {
    for (size_t i = first_; i <= last_; ++i)
      if (layer_->extents_[i].evicting) return true;
    return false;
  }

 private:
  static uint32_t coarse_now() {
    using namespace std::chrono;
    return static_cast<uint32_t>(
        duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count() / 64);
  }

  std::shared_ptr<CachedLayer> layer_;
  size_t first_, last_;
};

}  // namespace swarmfs::cache
