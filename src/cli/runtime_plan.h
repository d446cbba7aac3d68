// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <compare>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/node_view.h"

/// What must be in which file so that a container runtime asks this node's mirror. Pure: text in,
/// text out. Throws util::Error with file, line and the way out for a file that cannot be
/// understood, or that cannot be changed without touching what an administrator meant.
namespace swarmfs::cli {

struct ContainerdVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;
  auto operator<=>(const ContainerdVersion&) const = default;
};

/// Of what `containerd --version` says; empty result: it says no version.
std::optional<ContainerdVersion> parse_containerd_version(std::string_view said);

struct MirrorWish {
  std::string mirror;                   ///< "127.0.0.1:9755"
  std::vector<std::string> registries;  ///< "docker.io", "r.example.com:5000"; empty: see each plan
  bool remove = false;                  ///< take out what an earlier call put in, and only that
  /// containerd: where hosts.toml are kept for a reader other than its CRI part; then config.toml
  /// is not looked at. Empty: as config.toml says.
  std::filesystem::path hosts_directory;
  std::optional<ContainerdVersion> containerd;  ///< empty: unknown
};

struct FileChange {
  std::filesystem::path file;
  std::optional<std::string> before;  ///< empty: absent
  std::optional<std::string> after;   ///< empty: to be absent
  bool remove_directory = false;  ///< its directory as well, which configure made, if empty then

  [[nodiscard]] bool changes() const { return before != after; }
};

/// `ignored`: why pulls, or some of them, would pass by the mirror, and the way out. `notes`: what
/// else is worth knowing.
struct RuntimePlan {
  std::vector<FileChange> files;  ///< those that are right already as well
  std::vector<std::string> ignored;
  std::vector<std::string> notes;
  bool removes = false;  ///< the files are to be without what configure puts there
};

/// hosts.toml for all registries (_default), or for each of `registries`. Removing without
/// `registries` removes all of them.
RuntimePlan plan_containerd(const MirrorWish& wish, const NodeView& node);
/// A drop-in of registries.conf, for Podman, CRI-O, skopeo and buildah. Without `registries`: those
/// that are in it, else docker.io.
RuntimePlan plan_podman(const MirrorWish& wish, const NodeView& node);
/// registry-mirrors of daemon.json: docker.io alone.
RuntimePlan plan_docker(const MirrorWish& wish, const NodeView& node);
/// Mirrors of containerd-stargz-grpc. Without `registries`: docker.io.
RuntimePlan plan_stargz(const MirrorWish& wish, const NodeView& node);

}  // namespace swarmfs::cli
