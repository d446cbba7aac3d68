// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/follow_indexes.h"

namespace swarmfs::daemon {

using util::Failure;
using util::Fault;

util::Outcome<image::Resolved> follow_indexes(const oci::Reference& reference,
                                              const oci::Platform& platform,
                                              const FetchDocument& fetch) {
  oci::Reference target = reference;
  std::vector<util::Bytes> indexes;
  // An index may name an index, but nobody nests them deeper.
  for (int depth = 0; depth < 3; ++depth) {
    auto fetched = fetch(target);
    if (!fetched) return fetched.failure();
    const auto parsed = oci::parse_manifest(fetched->bytes);
    if (!parsed) return parsed.failure();
    const auto* index = std::get_if<oci::Index>(&*parsed);
    if (!index)
      return image::Resolved{fetched->digest, std::move(fetched->bytes), std::move(indexes)};
    const auto* chosen = oci::choose(*index, platform);
    if (!chosen)
      return Failure{Fault::not_found,
                     reference.to_string() + " has no image for " + platform.to_string()};
    target.digest = chosen->digest;
    indexes.push_back(std::move(fetched->bytes));
  }
  return Failure{Fault::invalid, reference.to_string() + ": indexes in indexes in indexes"};
}

}  // namespace swarmfs::daemon
