// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/registry_manifests.h"

namespace swarmfs::daemon {

util::Outcome<image::Resolved> RegistryManifests::resolve(const oci::Reference& reference,
                                                          const oci::Platform& platform,
                                                          std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  oci::Reference target = reference;
  // An index may name an index, but nobody nests them deeper.
  for (int depth = 0; depth < 3; ++depth) {
    auto fetched = client_.manifest(target, deadline);
    if (!fetched) return fetched.failure();
    const auto parsed = oci::parse_manifest(fetched->bytes);
    if (!parsed) return parsed.failure();
    const auto* index = std::get_if<oci::Index>(&*parsed);
    if (!index) return image::Resolved{fetched->digest, std::move(fetched->bytes)};
    const auto* chosen = oci::choose(*index, platform);
    if (!chosen)
      return util::Failure{util::Fault::not_found,
                           reference.to_string() + " has no image for " + platform.to_string()};
    target.digest = chosen->digest;
  }
  return util::Failure{util::Fault::invalid,
                       reference.to_string() + ": indexes in indexes in indexes"};
}

}  // namespace swarmfs::daemon
