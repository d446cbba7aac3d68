// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include "cli/daemon_json.h"
#include "cli/runtime_plan.h"
#include "util/error.h"

namespace swarmfs::cli {

RuntimePlan plan_docker(const MirrorWish& wish, const NodeView& node) {
  for (const auto& registry : wish.registries)
    if (registry != "docker.io")
      throw util::Error(fmt::format(
          "{}: Docker has mirrors of docker.io only. With its containerd image store (the default "
          "of "
          "fresh installs from Docker 29 on) it reads hosts.toml: swarmfs configure containerd "
          "--hosts-dir /etc/docker/certs.d --registry {}",
          registry, registry));
  const std::string file = "/etc/docker/daemon.json";
  FileChange change{.file = file, .before = node.read(file), .after = std::nullopt};
  change.after = without_ours(change.before, file);
  if (!wish.remove) change.after = add_to_daemon_json(change.after, wish.mirror, file);
  RuntimePlan plan;
  const auto left = loopback_mirrors(change.after, file);
  // dockerd keeps the mirrors that it has where a file that it reads again says nothing of any.
  const bool restart = wish.remove && !speaks_of_mirrors(change.after, file);
  plan.files.push_back(std::move(change));
  if (wish.remove)
    for (const auto& mirror : left)
      plan.notes.push_back(fmt::format(
          "Docker still asks {}, which this command did not write: where it is swarmfs's, take it "
          "out of \"registry-mirrors\" by hand",
          mirror));
  if (!wish.remove) {
    if (left.empty())
      plan.notes.push_back(fmt::format(
          "--remove knows only a mirror on loopback again: {} is to be taken out by hand",
          wish.mirror));
    plan.notes.emplace_back(
        "this is for images of docker.io only: Docker asks no mirror for others");
    plan.notes.emplace_back(
        "dockerd must not be started with --registry-mirror as well: it refuses to start with "
        "both");
    if (node.read("/etc/docker/certs.d/docker.io/hosts.toml"))
      plan.notes.emplace_back(
          "with the containerd image store, /etc/docker/certs.d/docker.io/hosts.toml counts "
          "instead");
  }
  plan.notes.push_back(fmt::format("dockerd takes it over after: systemctl {} docker",
                                   restart ? "restart" : "reload"));
  return plan;
}

}  // namespace swarmfs::cli
