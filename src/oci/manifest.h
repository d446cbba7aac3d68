// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "oci/platform.h"
#include "util/digest.h"
#include "util/outcome.h"
#include "util/units.h"

namespace swarmfs::oci {

/// image-spec, descriptor.md
struct Descriptor {
  std::string media_type;
  util::Digest digest;
  uint64_t size = 0;
  std::optional<Platform> platform;
};

/// Whether a blob of this media type is a layer of an image, of OCI or Docker.
bool is_layer(std::string_view media_type);

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  ///< bottom first
};

struct Index {
  std::vector<Descriptor> manifests;
};

/// What a client asks for: every manifest and index type that parse_manifest() reads, and before
/// nothing at all anything else, which clients of the mirror may know how to read.
std::string accept_header();

/// OCI or Docker manifest, index or list. Fault::corrupt: not JSON or hostile (negative sizes,
/// more than 512 layers, 8 MiB). Fault::invalid: a kind that cannot be mounted (schema 1,
/// artifacts without layers).
util::Outcome<std::variant<Manifest, Index>> parse_manifest(util::ByteView document);

/// The first manifest for `platform`; null when there is none. Attestations never match.
const Descriptor* choose(const Index& index, const Platform& platform);

}  // namespace swarmfs::oci
