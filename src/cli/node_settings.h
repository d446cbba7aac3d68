// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "http/client.h"

namespace swarmfs::cli {

/// Of [[registry]]: how it is reached.
struct RegistrySetting {
  std::string host;
  std::vector<std::string> mirrors;
  std::optional<bool> plain_http;  ///< unset: on loopback without a CA file
  http::Tls tls;
};

/// What doctor wants to know of the daemon's configuration, with the daemon's defaults
/// (packaging/swarmfs.toml), so that it can be asked for while no daemon runs.
struct NodeSettings {
  std::filesystem::path cache_directory = "/var/lib/swarmfs";
  uint64_t cache_quota = 20'000'000'000;
  std::filesystem::path mount_point = "/run/swarmfs/fs";
  std::string control_socket = "/run/swarmfs/control.sock";
  std::string mirror_listen;
  std::string containerd_address;                  ///< empty: nothing is handed over
  std::vector<std::string> containerd_namespaces;  ///< empty: all
  std::filesystem::path token_file, ca_file, cert_file, key_file;
  std::vector<std::string> listen, peers, dns;  ///< "10.0.0.3:7946", always with a port
  std::vector<RegistrySetting> registries;
};

/// Pure. What it does not know is skipped: `swarmfsd --check` finds mistakes. Throws util::Error
/// "file:line: why" for what is not TOML.
NodeSettings parse_settings(std::string_view text, const std::string& file);

/// Where /v2/ of a registry or of one of its mirrors is. `place`: "docker.io",
/// "r.example.com:5000", "https://harbor.example.com/hub". Pure.
std::string version_url(const std::string& place, const RegistrySetting& setting);
/// Of one repository there, as the daemon asks for it (registry::HostOptions::mirrors):
/// "https://harbor.example.com/v2/hub/library/nginx". Pure.
std::string repository_url(const std::string& place, const RegistrySetting& setting,
                           const std::string& repository);

}  // namespace swarmfs::cli
