// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/registry_manifests.h"

#include "daemon/follow_indexes.h"

namespace swarmfs::daemon {

util::Outcome<image::Resolved> RegistryManifests::resolve(const oci::Reference& reference,
                                                          const oci::Platform& platform,
                                                          std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  return follow_indexes(reference, platform,
                        [&](const oci::Reference& target) -> util::Outcome<Document> {
                          auto fetched = client_.manifest(target, deadline);
                          if (!fetched) return fetched.failure();
                          return Document{fetched->digest, std::move(fetched->bytes)};
                        });
}

}  // namespace swarmfs::daemon
