// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/route.h"

#include <optional>
#include <string_view>

namespace swarmfs::mirror {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

struct Parts {
  Route::Kind kind;
  std::string_view name;
  std::string_view target;
};

/// `rest`: "<name>/manifests/<target>", or one of the others. A name may have such words in it: the
/// last ones count.
std::optional<Parts> take_apart(std::string_view rest) {
  constexpr std::string_view kTags = "/tags/list";
  if (rest.ends_with(kTags))
    return Parts{Route::Kind::tags, rest.substr(0, rest.size() - kTags.size()), ""};
  const size_t last = rest.rfind('/');
  if (last == rest.npos || last == 0) return std::nullopt;
  const size_t before = rest.rfind('/', last - 1);
  if (before == rest.npos) return std::nullopt;
  const auto word = rest.substr(before + 1, last - before - 1);
  const auto kind = word == "manifests"   ? std::optional(Route::Kind::manifest)
                    : word == "blobs"     ? std::optional(Route::Kind::blob)
                    : word == "referrers" ? std::optional(Route::Kind::referrers)
                                          : std::nullopt;
  if (!kind) return std::nullopt;
  return Parts{*kind, rest.substr(0, before), rest.substr(last + 1)};
}

bool names_registry(std::string_view host) {
  return host.find_first_of(".:") != host.npos || host == "localhost";
}

}  // namespace

const char* Route::name() const {
  switch (kind) {
    case Kind::version:
      return "version";
    case Kind::manifest:
      return "manifest";
    case Kind::blob:
      return "blob";
    case Kind::tags:
      return "tags";
    case Kind::referrers:
      return "referrers";
  }
  return "unknown";
}

std::string Route::path() const {
  switch (kind) {
    case Kind::version:
      return "";
    case Kind::manifest:
      return "manifests/" + reference.target();
    case Kind::blob:
      return "blobs/" + reference.target();
    case Kind::tags:
      return "tags/list";
    case Kind::referrers:
      return "referrers/" + reference.target();
  }
  return "";
}

Outcome<Route> parse_route(const std::string& path,
                           const std::map<std::string, std::string>& query) {
  if (path == "/v2" || path == "/v2/") return Route{};
  if (!path.starts_with("/v2/")) return Failure{Fault::not_found, "only /v2/ is here"};
  const auto parts = take_apart(std::string_view(path).substr(4));
  if (!parts) return Failure{Fault::not_found, "there is no such thing in the distribution spec"};
  std::string name(parts->name);
  if (const auto ns = query.find("ns"); ns != query.end()) {
    if (!names_registry(ns->second) || ns->second.find('/') != std::string::npos)
      return Failure{Fault::not_found, "'" + ns->second + "' is no registry that can be asked"};
    name = ns->second + "/" + name;
  }
  constexpr std::string_view kHubsServer = "registry-1.";  // of docker.io
  if (name.starts_with("registry-1.docker.io/")) name.erase(0, kHubsServer.size());
  const bool by_digest = parts->target.find(':') != parts->target.npos;
  if (parts->target.empty() != (parts->kind == Route::Kind::tags) ||
      (parts->kind != Route::Kind::manifest && parts->kind != Route::Kind::tags && !by_digest))
    return Failure{Fault::invalid, "what is asked for is no digest"};
  // A name with a '@' or ':' of its own would be read as another reference.
  if (parts->name.find('@') != parts->name.npos || parts->target.find('@') != parts->target.npos)
    return Failure{Fault::invalid, "the name is malformed"};
  // Of tags the default one: without any, a ':' of the name would start one.
  name += by_digest ? "@" : ":";
  name += parts->kind == Route::Kind::tags ? "latest" : parts->target;
  auto reference = oci::Reference::parse(name);
  if (!reference) return reference.failure();
  const size_t colons = reference->repository.find(':');
  if (colons != std::string::npos || (by_digest && !reference->tag.empty()))
    return Failure{Fault::invalid, "the name is malformed"};
  return Route{parts->kind, std::move(*reference)};
}

}  // namespace swarmfs::mirror
