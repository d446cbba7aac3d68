// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <algorithm>

#include "cli/containerd_config.h"
#include "cli/hosts_toml.h"
#include "cli/runtime_plan.h"
#include "util/error.h"

namespace swarmfs::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kAllRegistries = "_default";

/// Names of the directories in `directory`, without the '/'.
std::vector<std::string> directories_in(const NodeView& node, const fs::path& directory) {
  std::vector<std::string> found;
  for (auto& name : node.list(directory))
    if (name.ends_with('/')) found.push_back(name.substr(0, name.size() - 1));
  return found;
}

/// "r.example.com_5000_" is containerd's other name for "r.example.com:5000", and the first it
/// looks for.
std::string with_underscores(const std::string& registry) {
  const size_t colon = registry.rfind(':');
  return colon == registry.npos
             ? registry
             : registry.substr(0, colon) + "_" + registry.substr(colon + 1) + "_";
}

std::string registry_of(const std::string& directory) {
  const size_t before =
      directory.ends_with('_') ? directory.rfind('_', directory.size() - 2) : directory.npos;
  if (before == directory.npos || before == 0) return directory;
  return directory.substr(0, before) + ":" +
         directory.substr(before + 1, directory.size() - before - 2);
}

/// Which directories of `hosts` are meant.
std::vector<std::string> meant(const MirrorWish& wish, const std::vector<std::string>& there) {
  if (wish.registries.empty())
    return wish.remove ? there : std::vector{std::string(kAllRegistries)};
  std::vector<std::string> names;
  for (const auto& registry : wish.registries) {
    const auto other = with_underscores(registry);
    const bool other_there = std::find(there.begin(), there.end(), other) != there.end();
    names.push_back(other_there ? other : registry);
  }
  return names;
}

/// containerd reads certificates that lie in the directory only where there is no hosts.toml.
void refuse_certificates(const NodeView& node, const fs::path& directory,
                         const std::string& mirror) {
  std::string authorities;
  std::string pairs;
  for (const auto& name : node.list(directory)) {
    const auto kind = fs::path(name).extension();
    if (kind == ".crt")
      authorities += fmt::format("{}\"{}\"", authorities.empty() ? "" : ", ", name);
    if (kind == ".cert")
      pairs += fmt::format("{}[\"{}\", \"{}.key\"]", pairs.empty() ? "" : ", ", name,
                           fs::path(name).stem().string());
  }
  if (authorities.empty() && pairs.empty()) return;
  throw util::Error(fmt::format(
      "{} holds certificates, which containerd no longer looks for beside a hosts.toml; nothing "
      "was "
      "changed. Write {}/hosts.toml by hand:\n{}{}{}",
      directory.string(), directory.string(),
      authorities.empty() ? "" : fmt::format("ca = [{}]\n", authorities),
      pairs.empty() ? "" : fmt::format("client = [{}]\n", pairs), hosts_toml_table(mirror)));
}

FileChange change_hosts_toml(const MirrorWish& wish, const NodeView& node,
                             const fs::path& directory) {
  const fs::path file = directory / "hosts.toml";
  if (!wish.remove && node.read(file).value_or("").empty())
    refuse_certificates(node, directory, wish.mirror);
  return change_marked(node, file, wish.remove, [&](const std::string& theirs, Made made) {
    return add_to_hosts_toml(theirs, wish.mirror, made, file.string());
  });
}

/// A directory of a registry's own hides _default, whatever is in it.
void find_hiding(const MirrorWish& wish, const NodeView& node, const fs::path& hosts,
                 RuntimePlan& plan) {
  for (const auto& name : directories_in(node, hosts)) {
    if (name.starts_with('_')) continue;
    const auto text = node.read(hosts / name / "hosts.toml");
    if (text && hosts_toml_names(*text, wish.mirror)) continue;
    const auto registry = registry_of(name);
    plan.ignored.push_back(
        fmt::format("pulls from {} pass by the mirror: {} hides _default (try: swarmfs configure "
                    "containerd --registry {})",
                    registry, (hosts / name).string(), registry));
  }
}

/// These keep a containerd of their own, and write its hosts.toml anew at each start.
void find_distributions(const MirrorWish& wish, const NodeView& node, RuntimePlan& plan) {
  for (const std::string name : {"k3s", "rke2"}) {
    if (node.list("/var/lib/rancher/" + name + "/agent").empty() &&
        node.list("/etc/rancher/" + name).empty())
      continue;
    const std::string file = "/etc/rancher/" + name + "/registries.yaml";
    const std::string url = "http://" + wish.mirror;
    if (node.read(file).value_or("").find(url) != std::string::npos) continue;
    plan.ignored.push_back(
        fmt::format("{} runs a containerd of its own, and writes its hosts.toml from {} at each "
                    "start: have there"
                    "\n  mirrors:\n    \"*\":\n      endpoint: [\"{}\"]\nand restart {}",
                    name, file, url, name));
  }
}

void note_version(const ContainerdVersion& version, RuntimePlan& plan) {
  if (version >= ContainerdVersion{2, 0, 7}) return;
  plan.notes.push_back(fmt::format(
      "containerd {}.{}.{} knows no dial_timeout; a mirror on loopback needs none, since "
      "a closed port is refused at once",
      version.major, version.minor, version.patch));
}

}  // namespace

RuntimePlan plan_containerd(const MirrorWish& wish, const NodeView& node) {
  RuntimePlan plan;
  fs::path hosts = wish.hosts_directory;
  if (hosts.empty()) {
    const CriConfig config = read_cri_config(node, "/etc/containerd/config.toml");
    hosts = config.hosts_directory();
    if (!wish.remove) {
      judge_cri_config(config, wish.containerd, plan);
      find_distributions(wish, node, plan);
    }
  }
  for (const auto& name : meant(wish, directories_in(node, hosts)))
    plan.files.push_back(change_hosts_toml(wish, node, hosts / name));
  if (wish.remove) return plan;
  if (wish.registries.empty()) find_hiding(wish, node, hosts, plan);
  if (wish.containerd) note_version(*wish.containerd, plan);
  plan.notes.push_back(fmt::format(
      "hosts.toml is read at each pull, nothing needs a restart; ctr reads it with --hosts-dir {}",
      hosts.string()));
  return plan;
}

}  // namespace swarmfs::cli
