// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "util/digest.h"
#include "util/units.h"

namespace swarmfs::mirror {

/// A manifest, an index or an artifact, byte for byte; its digest is that of its bytes.
struct Document {
  util::Digest digest;
  std::string media_type;
  std::shared_ptr<const util::Bytes> bytes;

  /// With the media type that the bytes state or imply.
  static Document of(util::Bytes bytes);
};

/// Who claims more is not believed: what is kept of a layer in memory grows with its size.
inline constexpr uint64_t kLargestBlob = 1ull << 40;

/// A blob that a document names.
struct NamedBlob {
  util::Digest digest;
  uint64_t size = 0;
  std::string media_type;
};

/// Config, layers and blobs of whatever kind of document this is; of an index nothing. What makes
/// no sense is left out.
std::vector<NamedBlob> blobs_of(util::ByteView document);

/// "application/vnd.oci.image.manifest.v1+json", …: as a registry would say it.
std::string media_type_of(util::ByteView document);

}  // namespace swarmfs::mirror
