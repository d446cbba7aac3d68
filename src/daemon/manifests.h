// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "daemon/catalog.h"
#include "daemon/cluster_node.h"
#include "daemon/registry_manifests.h"
#include "image/image_library.h"

namespace swarmfs::daemon {

/// What a reference stands for: the registry tells; where it cannot now, a member that it told
/// before. Says to the swarm at once which layers will be wanted.
class Manifests final : public image::ManifestSource {
 public:
  /// `node` may be null: no cluster.
  Manifests(RegistryManifests& registry, Catalog& catalog, chunk::Store& store, ClusterNode* node)
      : registry_(registry), catalog_(catalog), store_(store), node_(node) {}

  util::Outcome<image::Resolved> resolve(const oci::Reference& reference,
                                         const oci::Platform& platform) override;
  /// Tells the swarm of the layers of an image, as resolve() does.
  void announce(const oci::Reference& reference, const std::vector<oci::Descriptor>& layers);

 private:
  std::optional<image::Resolved> ask_members(const oci::Reference& reference,
                                             const oci::Platform& platform);
  void take_in(const oci::Reference& reference, const image::Resolved& resolved);
  void bring_profile(const oci::Reference& reference, const util::Digest& manifest);

  RegistryManifests& registry_;
  Catalog& catalog_;
  chunk::Store& store_;
  ClusterNode* const node_;
  util::Workers profiles_{1};  ///< asks members for access profiles, which may take a while
};

}  // namespace swarmfs::daemon
