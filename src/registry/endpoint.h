// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "chunk/layer_ref.h"
#include "http/client.h"
#include "registry/budget.h"

namespace swarmfs::registry {

/// How one registry is reached.
struct HostOptions {
  /// Tried in order before the registry itself, with their own options and credentials:
  /// "[http[s]://]host[:port][/path]". A path goes before the repository's name
  /// ("harbor.example.com/hub" is asked for "hub/library/nginx"), unless it says itself where "v2"
  /// stands ("example.com/artifactory/api/docker/hub/v2").
  std::vector<std::string> mirrors;
  std::optional<bool> plain_http;  ///< unset: on loopback where there is no ca_file
  http::Tls tls;
  std::string username;
  std::string password;
  Limits node = kNodeLimits;        ///< of what this node asks
  Limits cluster = kClusterLimits;  ///< of what all nodes of the cluster ask together
};

/// One repository at one host, a registry or a mirror of one.
struct Endpoint {
  std::string host;        ///< "docker.io", "mirror.example.com:5000": of options and credentials
  std::string registry;    ///< that the image names: of metrics
  std::string name;        ///< of the repository, as this host says it
  std::string url;         ///< of the repository, ends with '/'
  std::string version;     ///< "https://registry-1.docker.io/v2/", where any request is challenged
  HostOptions options;     ///< of the host
  bool anonymous = false;  ///< as nobody in particular
  bool is_mirror = false;  ///< not the registry itself

  /// Whether `other` is a URL of the same scheme, host and port.
  [[nodiscard]] bool same_origin(const std::string& other) const;
};

/// `place` as in HostOptions::mirrors, or origin's registry. Pure.
Endpoint make_endpoint(const std::string& place, const chunk::Origin& origin, bool anonymous,
                       const std::map<std::string, HostOptions>& hosts);

}  // namespace swarmfs::registry
