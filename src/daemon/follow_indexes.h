// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>

#include "image/image_records.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "util/outcome.h"

namespace swarmfs::daemon {

/// A manifest or an index; its digest is that of its bytes.
struct Document {
  util::Digest digest;
  util::Bytes bytes;
};
using FetchDocument = std::function<util::Outcome<Document>(const oci::Reference& reference)>;

/// From what `reference` stands for to the manifest of the platform's image. Failure: what `fetch`
/// says; not_found where an index has no such image; corrupt, invalid: see oci::parse_manifest.
util::Outcome<image::Resolved> follow_indexes(const oci::Reference& reference,
                                              const oci::Platform& platform,
                                              const FetchDocument& fetch);

}  // namespace swarmfs::daemon
