// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace swarmfs::registry {

struct Credential {
  std::string username;
  std::string secret;
  bool identity_token = false;  ///< secret is a refresh token (OAuth2), not a password
};

/// What a docker config.json or a containers auth.json says for "registry/repository": entry of
/// the longest matching key wins, then credHelpers, then credsStore. Pure but for the helper.
/// `run_helper(name, registry)` gives what `docker-credential-<name> get` prints.
std::optional<Credential> find_credential(std::string_view auth_file, const std::string& registry,
                                          const std::string& repository);

/// Name of the credential helper that the file wants for the registry; empty: none.
std::string helper_for(std::string_view auth_file, const std::string& registry);

/// Runs `docker-credential-<name> get` (no shell, 10 s at most; killed when it lives on for 1 s
/// after it has closed its output). Blocking. Empty: it has none.
std::optional<Credential> ask_helper(const std::string& name, const std::string& registry);

/// The files that Docker, Podman and buildah write, for this user; without HOME (systemd) below the
/// home directory that the user database names.
std::vector<std::filesystem::path> usual_credential_files();

}  // namespace swarmfs::registry
