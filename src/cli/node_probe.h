// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <ctime>
#include <optional>
#include <vector>

#include "cli/node_facts.h"
#include "cli/node_settings.h"
#include "http/client.h"

/// Looks at a node for doctor. Each question over the network and each look at a file system takes
/// no longer than `patience`; what would is a finding. Blocking.
namespace swarmfs::cli {

using Patience = std::chrono::milliseconds;

struct Answered {
  util::Outcome<http::Response> response;
  std::time_t at;  ///< when it was there
};

/// Many at once; in the order of the requests.
std::vector<Answered> ask_all(std::vector<http::Request> requests);

DaemonFacts probe_daemon(const std::string& socket, Patience patience);
FuseFacts probe_fuse(const std::filesystem::path& mount_point, Patience patience);
CacheFacts probe_cache(const std::filesystem::path& directory, Patience patience);
/// Empty: no cluster is configured. `tls`: what a member shows and trusts; null where it cannot.
std::optional<IdentityFacts> probe_identity(const NodeSettings& settings, Patience patience,
                                            std::shared_ptr<const http::TlsMaterial>& tls);
/// Our own addresses, the peers that are configured and those that the daemon knows.
std::vector<PeerProbe> probe_peers(const NodeSettings& settings, const nlohmann::json& known,
                                   const std::shared_ptr<const http::TlsMaterial>& tls,
                                   Patience patience);
std::vector<RegistryProbe> probe_registries(const std::vector<RegistrySetting>& registries,
                                            Patience patience);
TagProbe probe_tag(const std::string& reference, const std::vector<RegistrySetting>& registries,
                   Patience patience);
MirrorFacts probe_mirror(const std::string& address, Patience patience);
/// Manifest and smallest blob, as a container runtime asks for them.
PullFacts probe_pull(const std::string& reference, const std::string& mirror, Patience patience);
/// A file of the image that is mounted on `directory`.
ReadFacts probe_read(const std::string& directory, Patience patience);

}  // namespace swarmfs::cli
