// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "content/layer_stream.h"
#include "content/space_fills.h"

namespace swarmfs::content {

/// A layer's bytes, fetched in order and inflated.
class InflatedLayer final : public SpaceSource {
 public:
  /// What becomes of bytes that cannot be inflated to a space of the size that the index says.
  using OnBad = std::function<util::Failure(const std::string& why)>;

  InflatedLayer(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> layer, uint64_t space_size,
                OnBad on_bad);
  util::Outcome<util::Done> run(const Feed& feed) override;
  void stop() override { stream_.stop(); }

 private:
  util::Outcome<util::Done> inflate(const Feed& feed);

  LayerStream stream_;
  const uint64_t space_size_;
  const OnBad on_bad_;
};

}  // namespace swarmfs::content
