// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>

#include "oci/reference.h"
#include "util/outcome.h"

namespace swarmfs::mirror {

/// What a request line of the pull side of the distribution spec asks for.
struct Route {
  enum class Kind { version, manifest, blob, tags, referrers };
  Kind kind = Kind::version;
  /// Registry and repository; of a manifest also tag or digest, of a blob and of referrers the
  /// digest. Nothing of a version.
  oci::Reference reference{};

  /// "manifest", …: for metrics.
  [[nodiscard]] const char* name() const;
  /// Below /v2/<repository>/, as a registry is asked: "manifests/v1", "tags/list".
  [[nodiscard]] std::string path() const;
};

/// `path` and `query` as of http::ServerRequest. The registry is `ns` of the query; else the first
/// component of the name where that has a dot, a port, or is "localhost"; else docker.io.
/// Fault::not_found: no such thing is here; Fault::invalid: the name, tag or digest is malformed.
util::Outcome<Route> parse_route(const std::string& path,
                                 const std::map<std::string, std::string>& query);

}  // namespace swarmfs::mirror
