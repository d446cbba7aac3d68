// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "image/image_library.h"
#include "registry/registry_client.h"

namespace swarmfs::daemon {

/// What the registry says a reference stands for: an index is followed to the platform's manifest.
class RegistryManifests {
 public:
  explicit RegistryManifests(registry::RegistryClient& client) : client_(client) {}
  /// Blocking, for `patience` at most.
  util::Outcome<image::Resolved> resolve(const oci::Reference& reference,
                                         const oci::Platform& platform,
                                         std::chrono::milliseconds patience);

 private:
  registry::RegistryClient& client_;
};

}  // namespace swarmfs::daemon
