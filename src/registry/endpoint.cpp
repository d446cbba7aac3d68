// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/endpoint.h"

#include "http/url.h"

namespace swarmfs::registry {

bool Endpoint::same_origin(const std::string& other) const {
  const auto ours = http::Url::parse(url), theirs = http::Url::parse(other);
  return ours && theirs && ours->origin() == theirs->origin();
}

Endpoint make_endpoint(const std::string& place, const chunk::Origin& origin, bool anonymous,
                       const std::map<std::string, HostOptions>& hosts) {
  std::string_view rest = place;
  std::optional<bool> plain;
  for (const std::string_view scheme : {"http://", "https://"})
    if (rest.starts_with(scheme)) {
      plain = scheme == "http://";
      rest.remove_prefix(scheme.size());
    }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  Endpoint made;
  made.host = rest.substr(0, rest.find('/'));
  made.registry = origin.registry;
  made.anonymous = anonymous;
  made.is_mirror = place != origin.registry;
  if (const auto known = hosts.find(made.host); known != hosts.end()) made.options = known->second;
  if (plain) made.options.plain_http = plain;
  if (anonymous) made.options.tls.cert_file = made.options.tls.key_file = "";
  const bool is_plain = made.options.plain_http.value_or(http::is_loopback(made.host) &&
                                                         made.options.tls.ca_file.empty());
  std::string path = std::string(rest.substr(made.host.size())) + "/";
  size_t name = path.find("/v2/");
  if (name == std::string::npos) {
    path.insert(0, "/v2");
    name = 0;
  }
  name += std::string_view("/v2/").size();
  made.name = path.substr(name) + origin.repository;
  made.version = (is_plain ? "http://" : "https://") +
                 (made.host == "docker.io" ? "registry-1.docker.io" : made.host) +
                 path.substr(0, name);
  made.url = made.version + made.name + "/";
  return made;
}

}  // namespace swarmfs::registry
