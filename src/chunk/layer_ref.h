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
};

/// One blob of a registry: named by its digest, of exactly `size` bytes (from the manifest).
struct LayerRef {
  util::Digest digest;
  uint64_t size = 0;
  std::vector<Origin> origins;
};

}  // namespace swarmfs::chunk
