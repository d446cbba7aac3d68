// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>

#include "chunk/source.h"
#include "registry/registry_client.h"
#include "registry/whole_streams.h"

namespace swarmfs::registry {

/// Layers from the registries that their origins name, in order. See chunk::Source.
class RegistrySource final : public chunk::Source {
 public:
  /// How many bytes of a range one request may cover, > 0; where other nodes share the work, less
  /// than all.
  using Share = std::function<uint64_t(const chunk::LayerRef&, util::ByteRange)>;

  RegistrySource(RegistryClient& client, util::Timers& timers, Share share = {})
      : client_(client), share_(std::move(share)), streams_(client, timers) {}
  chunk::SourceKind kind() const override { return chunk::SourceKind::registry; }
  std::string name() const override { return "registry"; }
  std::optional<chunk::Plan> plan(const chunk::LayerRef& layer, util::ByteRange range,
                                  const chunk::FetchContext& context) override {
    if (layer.form != chunk::Form::bytes) return std::nullopt;
    chunk::Plan plan{share_ ? share_(layer, range) : range.length};
    // Nobody waits for a dead registry while others have come by the bytes.
    plan.front_to_back = !client_.serves_ranges(layer.origins);
    if (context.cls == chunk::Class::fault)
      plan.hedge = kFaultHedge;
    else if (!plan.front_to_back)
      plan.hedge = kBulkHedge;
    return plan;
  }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer, util::ByteRange range,
                                         const chunk::FetchContext& context, OnData on_data,
                                         OnDone on_done) override;

 private:
  static constexpr std::chrono::seconds kFaultHedge{1};
  static constexpr std::chrono::seconds kBulkHedge{3};

  RegistryClient& client_;
  const Share share_;
  WholeStreams streams_;
};

}  // namespace swarmfs::registry
