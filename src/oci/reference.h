// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "util/digest.h"
#include "util/outcome.h"

namespace swarmfs::oci {

/// An image reference as Docker and containerd read it (distribution/reference): "nginx" is
/// docker.io/library/nginx:latest; the first part is a registry when it has a dot, a port, or is
/// "localhost".
struct Reference {
  std::string registry;    ///< "docker.io", "127.0.0.1:5000"
  std::string repository;  ///< "library/nginx"
  std::string tag;         ///< empty only when there is a digest
  std::optional<util::Digest> digest;

  static util::Outcome<Reference> parse(std::string_view text);
  /// Canonical: "docker.io/library/nginx:latest".
  [[nodiscard]] std::string to_string() const;
  /// to_string() as one path component: '/' ':' '@' '%' percent-encoded.
  [[nodiscard]] std::string encoded() const;
  /// What goes into the manifest URL: the digest if there is one, else the tag.
  [[nodiscard]] std::string target() const { return digest ? digest->to_string() : tag; }
};

}  // namespace swarmfs::oci
