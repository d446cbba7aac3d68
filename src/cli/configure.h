// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/node_facts.h"

namespace swarmfs::cli {

struct ConfigureOptions {
  std::string runtime;  ///< containerd, podman, docker or stargz
  std::string root = "/";
  std::string config = "/etc/swarmfs/swarmfs.toml";  ///< the daemon's; not below root
  std::string mirror;                                ///< empty: as config says
  std::string hosts_directory;
  std::vector<std::string> registries;
  bool check = false;
  bool remove = false;
  bool dry_run = false;
  bool json = false;
};

/// Points a container runtime at this node's mirror, or checks that, or undoes it. Needs no daemon.
/// Returns the exit code: 1 where --check finds that the runtime would not ask the mirror. Throws
/// util::Error, with nothing changed, where a file cannot be understood.
int configure(const ConfigureOptions& options);

/// The runtimes that this node has, as its files say, and what is to be done so that they ask the
/// mirror at `address` (empty: the usual one). `here`: it is the node that this process runs on.
std::vector<RuntimeFacts> look_at_runtimes(const NodeView& node, const std::string& address,
                                           bool here);

/// Where the mirror is, and why it is not.
struct MirrorPlace {
  std::string address;  ///< of the configuration, else the usual one
  std::string trouble;  ///< empty: the configuration has a mirror
};

/// Pure. `text`: the daemon's configuration; empty: there is none. Throws util::Error "file:line:
/// why".
MirrorPlace mirror_place(const std::optional<std::string>& text, const std::string& file);

/// Throw util::Error for what is not "127.0.0.1:9755" or "[::1]:9755", and for what is not a
/// registry such as "docker.io" or "r.example.com:5000"; the latter is returned as runtimes call
/// it. Pure.
void check_mirror_address(const std::string& text);
std::string checked_registry(const std::string& text);

}  // namespace swarmfs::cli
