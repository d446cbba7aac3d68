// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "daemon/catalog.h"
#include "image/image_library.h"
#include "registry/registry_client.h"

namespace swarmfs::daemon {

/// image::ManifestSource filled by the registry: an index is followed to the platform's manifest.
/// The catalog takes note.
class RegistryManifests final : public image::ManifestSource {
 public:
  RegistryManifests(registry::RegistryClient& client, Catalog& catalog)
      : client_(client), catalog_(catalog) {}
  util::Outcome<image::Resolved> resolve(const oci::Reference& reference,
                                         const oci::Platform& platform) override;

 private:
  util::Outcome<image::Resolved> ask(const oci::Reference& reference,
                                     const oci::Platform& platform);

  registry::RegistryClient& client_;
  Catalog& catalog_;
};

}  // namespace swarmfs::daemon
