// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

#include "cli/runtime_plan.h"

/// What containerd's config.toml (versions 1 to 4, with its imports) says of the pulls that its CRI
/// part makes for a kubelet. Pure.
namespace swarmfs::cli {

/// Where hosts.toml are kept unless config.toml says otherwise.
inline constexpr const char* kUsualHosts = "/etc/containerd/certs.d";

struct CriConfig {
  std::string file;           ///< the one that sets config_path, else config.toml
  bool exists = false;        ///< config.toml does
  int version = 1;            ///< of `file`
  bool has_table = false;     ///< the registry table is in `file`
  int line = 0;               ///< of config_path in `file`; 0: not there
  std::string config_path;    ///< one directory, or several with ':' between
  std::string lost_in;        ///< a later file with a table of the plugin, without config_path
  bool disabled = false;      ///< no CRI part runs
  bool old_mirrors = false;   ///< registry.mirrors, which cannot be where config_path is
  bool pulls_itself = false;  ///< not through the transfer service, whatever the version

  /// Where hosts.toml belong: those of config_path, in the order in which containerd looks for a
  /// directory of the registry or _default, else the usual ones. Never empty.
  [[nodiscard]] std::vector<std::filesystem::path> hosts_directories(
      const std::optional<ContainerdVersion>& containerd) const;
};

/// Imports are read as containerd 2 merges them, key by key. Throws util::Error for what is no
/// TOML.
CriConfig read_cri_config(const NodeView& node, const std::filesystem::path& file);

/// Adds to the plan why the CRI part would not look into the first of hosts_directories().
void judge_cri_config(const CriConfig& config, const std::optional<ContainerdVersion>& version,
                      RuntimePlan& plan);

}  // namespace swarmfs::cli
