// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "chunk/source.h"
#include "registry/registry_client.h"

namespace swarmfs::registry {

/// Layers from the registries that their origins name, in order. See chunk::Source.
class RegistrySource final : public chunk::Source {
 public:
  explicit RegistrySource(RegistryClient& client) : client_(client) {}
  chunk::SourceKind kind() const override { return chunk::SourceKind::registry; }
  std::string name() const override { return "registry"; }
  /// All of it, in one request.
  std::optional<chunk::Plan> plan(const chunk::LayerRef&, util::ByteRange range,
                                  const chunk::FetchContext&) override {
    return chunk::Plan{range.length};
  }
  std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer, util::ByteRange range,
                                         const chunk::FetchContext& context, OnData on_data,
                                         OnDone on_done) override;

 private:
  RegistryClient& client_;
};

}  // namespace swarmfs::registry
