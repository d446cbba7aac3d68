// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "image/image_library.h"
#include "registry/registry_client.h"

namespace swarmfs::daemon {

/// image::ManifestSource filled by the registry: an index is followed to the platform's manifest.
class RegistryManifests final : public image::ManifestSource {
 public:
  explicit RegistryManifests(registry::RegistryClient& client) : client_(client) {}
  util::Outcome<image::Resolved> resolve(const oci::Reference& reference,
                                         const oci::Platform& platform) override;

 private:
  registry::RegistryClient& client_;
};

}  // namespace swarmfs::daemon
