// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "util/digest.h"

namespace swarmfs::chunk {

/// Where a layer can be had from a registry: "docker.io" + "library/nginx".
struct Origin {
  std::string registry;
  std::string repository;
  auto operator<=>(const Origin&) const = default;
  /// "docker.io/library/nginx"
  [[nodiscard]] std::string name() const { return registry + "/" + repository; }
};

/// Which bytes of a layer: those its digest covers; its inflated data space (kept only for layers
/// that cannot be inflated from the middle); or the windows of its index, which are named by what
/// the index says of them: who packs them otherwise has others.
enum class Form : uint8_t { bytes, space, windows };

/// Bytes of a layer that sources can give. Form::bytes: one blob of a registry, named by its
/// digest, of exactly `size` bytes (from the manifest).
struct LayerRef {
  util::Digest digest;
  uint64_t size = 0;
  std::vector<Origin> origins;
  Form form = Form::bytes;
  util::Digest of{};  ///< Form::windows: the layer's digest

  /// The layer that they are, or are of.
  [[nodiscard]] const util::Digest& layer() const { return form == Form::windows ? of : digest; }
  /// No registry has them.
  static LayerRef windows_of(const LayerRef& layer, const util::Digest& name, uint64_t size) {
    return {name, size, layer.origins, Form::windows, layer.digest};
  }
};

}  // namespace swarmfs::chunk
