// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/node_settings.h"

#include "cli/toml_text.h"
#include "http/url.h"
#include "util/units.h"

namespace swarmfs::cli {

namespace {

using View = toml::node_view<const toml::node>;

template <class T>
void take(View value, T& target) {
  if (const auto text = value.value<std::string>()) target = *text;
}

void take_quota(View value, uint64_t& target) {
  const auto text = value.value<std::string>();
  const auto quota = text ? util::parse_bytes(*text) : value.value<uint64_t>();
  if (quota) target = *quota;
}

std::vector<std::string> texts(View value) {
  std::vector<std::string> made;
  if (const auto* list = value.as_array())
    for (const auto& item : *list)
      if (const auto text = item.value<std::string>()) made.push_back(*text);
  return made;
}

std::vector<std::string> addresses(View value) {
  auto made = texts(value);
  for (auto& text : made)
    if (text.ends_with(']') || text.find(':') == text.npos) text += ":7946";
  return made;
}

RegistrySetting registry_of(View table) {
  RegistrySetting made;
  take(table["host"], made.host);
  made.mirrors = texts(table["mirrors"]);
  made.plain_http = table["plain_http"].value<bool>();
  take(table["ca_file"], made.tls.ca_file);
  take(table["cert_file"], made.tls.cert_file);
  take(table["key_file"], made.tls.key_file);
  return made;
}

void take_cluster(View table, NodeSettings& made) {
  take(table["token_file"], made.token_file);
  take(table["ca_file"], made.ca_file);
  take(table["cert_file"], made.cert_file);
  take(table["key_file"], made.key_file);
  made.listen = addresses(table["listen"]);
  made.peers = addresses(table["peers"]);
  made.dns = addresses(table["dns"]);
}

}  // namespace

NodeSettings parse_settings(std::string_view text, const std::string& file) {
  const toml::table table = parse_toml_text(text, file);
  NodeSettings made;
  take(table["cache"]["directory"], made.cache_directory);
  take_quota(table["cache"]["quota"], made.cache_quota);
  take(table["mount"]["point"], made.mount_point);
  take(table["control"]["socket"], made.control_socket);
  take(table["mirror"]["listen"], made.mirror_listen);
  take(table["containerd"]["address"], made.containerd_address);
  made.containerd_namespaces = texts(table["containerd"]["namespaces"]);
  take_cluster(table["cluster"], made);
  if (const auto* list = table["registry"].as_array())
    for (const auto& item : *list) made.registries.push_back(registry_of(View(item)));
  return made;
}

std::string repository_url(const std::string& place, const RegistrySetting& setting,
                           const std::string& repository) {
  std::string_view rest = place;
  std::optional<bool> plain = setting.plain_http;
  for (const std::string_view scheme : {"http://", "https://"})
    if (rest.starts_with(scheme)) {
      plain = scheme == "http://";
      rest.remove_prefix(scheme.size());
    }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::string host(rest.substr(0, rest.find('/')));
  const bool is_plain = plain.value_or(http::is_loopback(host) && setting.tls.ca_file.empty());
  std::string path = std::string(rest.substr(host.size())) + "/";
  if (path.find("/v2/") == path.npos) path.insert(0, "/v2");
  return (is_plain ? "http://" : "https://") +
         (host == "docker.io" ? "registry-1.docker.io" : host) + path + repository;
}

std::string version_url(const std::string& place, const RegistrySetting& setting) {
  const std::string url = repository_url(place, setting, "");
  const size_t path = url.find('/', std::string_view("https://").size());
  return url.substr(0, url.find("/v2/", path)) + "/v2/";
}

}  // namespace swarmfs::cli
