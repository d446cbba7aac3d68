// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/configure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <regex>

#include "cli/node_files.h"
#include "cli/plan_text.h"
#include "cli/toml_text.h"
#include "util/file.h"

namespace swarmfs::cli {

namespace {

constexpr const char* kUsualMirror = "127.0.0.1:9755";

/// Of the containerd in PATH, where there is one.
std::optional<ContainerdVersion> installed_containerd() {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      ::popen("containerd --version 2>/dev/null", "re"), ::pclose);
  if (!pipe) return std::nullopt;
  char said[256];
  const size_t size = std::fread(said, 1, sizeof said, pipe.get());
  return parse_containerd_version({said, size});
}

RuntimePlan plan_of(const std::string& runtime, const MirrorWish& wish, const NodeView& node) {
  static const std::map<std::string, RuntimePlan (*)(const MirrorWish&, const NodeView&)> plans{
      {"containerd", plan_containerd},
      {"podman", plan_podman},
      {"docker", plan_docker},
      {"stargz", plan_stargz}};
  const auto plan = plans.find(runtime);
  if (plan == plans.end())
    throw util::Error(runtime + " is none of containerd, podman, docker, stargz");
  RuntimePlan made = plan->second(wish, node);
  made.removes = wish.remove;
  return made;
}

MirrorWish wish_of(const ConfigureOptions& options, const std::string& mirror) {
  MirrorWish wish{.mirror = mirror,
                  .registries = {},
                  .remove = options.remove,
                  .hosts_directory = options.hosts_directory,
                  .containerd = std::nullopt};
  for (const auto& one : options.registries) {
    auto registry = checked_registry(one);
    if (std::find(wish.registries.begin(), wish.registries.end(), registry) ==
        wish.registries.end())
      wish.registries.push_back(std::move(registry));
  }
  if (options.runtime == "containerd" && options.root == "/")
    wish.containerd = installed_containerd();
  return wish;
}

MirrorPlace place_of_mirror(const ConfigureOptions& options) {
  if (options.remove) return {kUsualMirror, ""};
  if (options.mirror.empty()) return mirror_place(util::read_text(options.config), options.config);
  check_mirror_address(options.mirror);
  return {options.mirror, ""};
}

bool has_runtime(const std::string& runtime, const NodeView& node) {
  if (runtime == "containerd") return node.read("/etc/containerd/config.toml").has_value();
  if (runtime == "podman")
    return node.read("/etc/containers/registries.conf") ||
           !node.list("/etc/containers/registries.conf.d").empty();
  if (runtime == "docker") {
    const auto programs = node.list("/usr/bin");
    return node.read("/etc/docker/daemon.json") ||
           std::find(programs.begin(), programs.end(), "dockerd") != programs.end();
  }
  return node.read("/etc/containerd-stargz-grpc/config.toml").has_value();
}

/// Empty: this node does not have it.
std::optional<RuntimeFacts> facts_of(const std::string& runtime, MirrorWish wish,
                                     const NodeView& node, bool here) {
  RuntimeFacts made;
  made.name = runtime;
  try {
    if (!has_runtime(runtime, node)) return std::nullopt;
    if (runtime == "containerd" && here) wish.containerd = installed_containerd();
    made.plan = plan_of(runtime, wish, node);
    wish.remove = true;
    for (const auto& file : plan_of(runtime, wish, node).files)
      if (file.changes()) made.ours.push_back(file.file.string());
  } catch (const std::exception& error) {
    made.error = error.what();
    made.plan.reset();
  }
  return made;
}

}  // namespace

std::vector<RuntimeFacts> look_at_runtimes(const NodeView& node, const std::string& address,
                                           bool here) {
  std::vector<RuntimeFacts> made;
  for (const std::string runtime : {"containerd", "podman", "docker", "stargz"}) {
    MirrorWish wish;
    wish.mirror = address.empty() ? kUsualMirror : address;
    if (auto facts = facts_of(runtime, wish, node, here)) made.push_back(std::move(*facts));
  }
  return made;
}

MirrorPlace mirror_place(const std::optional<std::string>& text, const std::string& file) {
  const auto table = parse_toml_text(text.value_or(""), file);
  const auto listen = table["mirror"]["listen"].value<std::string>().value_or("");
  if (listen.empty())
    return {kUsualMirror,
            fmt::format("this node has no mirror: set listen = \"{}\" below [mirror] in {} and "
                        "restart swarmfsd (or say where it is: --mirror)",
                        kUsualMirror, file)};
  check_mirror_address(listen);
  return {listen, ""};
}

void check_mirror_address(const std::string& text) {
  static const std::regex address(R"((\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})");
  if (!std::regex_match(text, address))
    throw util::Error(
        fmt::format("'{}' is not where a mirror listens, such as {}", text, kUsualMirror));
}

std::string checked_registry(const std::string& text) {
  static const std::regex host(R"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?)");
  if (!std::regex_match(text, host))
    throw util::Error(fmt::format(
        "'{}' is not a registry's host such as docker.io or registry.example.com:5000", text));
  return text == "index.docker.io" || text == "registry-1.docker.io" ? "docker.io" : text;
}

int configure(const ConfigureOptions& options) {
  if (!options.hosts_directory.empty() &&
      (options.runtime != "containerd" || !options.hosts_directory.starts_with('/')))
    throw util::Error("--hosts-dir is for containerd, and an absolute path");
  const MirrorPlace mirror = place_of_mirror(options);
  const NodeFiles node(options.root);
  RuntimePlan plan = plan_of(options.runtime, wish_of(options, mirror.address), node);
  if (!mirror.trouble.empty()) plan.ignored.insert(plan.ignored.begin(), mirror.trouble);
  const bool writes = !options.check && !options.dry_run;
  const auto use = options.check ? PlanUse::check : writes ? PlanUse::write : PlanUse::show;
  if (writes)
    for (const auto& change : plan.files) node.apply(change);
  const auto out = options.json ? plan_json(plan, use).dump(2) + "\n" : plan_text(plan, use);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return options.check && !is_in_effect(plan) ? 1 : 0;
}

}  // namespace swarmfs::cli
