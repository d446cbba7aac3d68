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

constexpr const char* kConfigToml = "/etc/containerd/config.toml";
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

bool is_among(const std::vector<std::string>& registries, const std::string& directory) {
  return std::find(registries.begin(), registries.end(), registry_of(directory)) !=
         registries.end();
}

/// containerd takes the first of `roots` that has a directory of the registry, or _default.
fs::path directory_for(const NodeView& node, const std::vector<fs::path>& roots,
                       const std::string& registry) {
  for (const auto& root : roots) {
    const auto there = directories_in(node, root);
    const auto has = [&](std::string_view name) {
      return std::find(there.begin(), there.end(), name) != there.end();
    };
    if (has(with_underscores(registry))) return root / with_underscores(registry);
    if (has(registry) || has(kAllRegistries)) return root / registry;
  }
  return roots.front() / registry;
}

/// _default in the first of `roots` would hide what only a later one has.
void refuse_to_hide(const NodeView& node, const std::vector<fs::path>& roots) {
  std::vector<std::string> first;
  for (const auto& name : directories_in(node, roots.front())) first.push_back(registry_of(name));
  std::string hidden;
  for (size_t i = 1; i < roots.size(); ++i)
    for (const auto& name : directories_in(node, roots[i]))
      if ((!name.starts_with('_') || name == kAllRegistries) && !is_among(first, name))
        hidden += (hidden.empty() ? "" : ", ") + (roots[i] / name).string();
  if (hidden.empty()) return;
  throw util::Error(fmt::format(
      "containerd looks into {0} first, where _default would hide {1}; nothing was changed (try: "
      "move what is hidden to {0}, or swarmfs configure containerd --registry HOST for each "
      "registry)",
      roots.front().string(), hidden));
}

/// containerd reads certificates that lie in the directory only where no hosts.toml names hosts.
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
      "{} holds certificates, which containerd no longer looks for beside a hosts.toml with hosts; "
      "nothing was changed. Have by hand in {}/hosts.toml:\n{}{}{}",
      directory.string(), directory.string(),
      authorities.empty() ? "" : fmt::format("ca = [{}]\n", authorities),
      pairs.empty() ? "" : fmt::format("client = [{}]\n", pairs), hosts_toml_table(mirror)));
}

FileChange change_hosts_toml(const MirrorWish& wish, const NodeView& node,
                             const fs::path& directory) {
  const fs::path file = directory / "hosts.toml";
  return change_marked(node, file, wish.remove, [&](const std::string& theirs, Made made) {
    if (hosts_toml_lacks_certificates(theirs, file.string()))
      refuse_certificates(node, directory, wish.mirror);
    return add_to_hosts_toml(theirs, wish.mirror, made, file.string());
  });
}

/// A directory of a registry's own hides _default, whatever is in it.
void find_hiding(const MirrorWish& wish, const NodeView& node, const fs::path& hosts,
                 RuntimePlan& plan) {
  for (const auto& name : directories_in(node, hosts)) {
    if (name.starts_with('_')) continue;
    const auto text = node.read(hosts / name / "hosts.toml");
    if (text && hosts_toml_asks_first(*text, wish.mirror)) continue;
    const auto registry = registry_of(name);
    plan.ignored.push_back(
        fmt::format("pulls from {} pass by the mirror: {} hides _default (try: swarmfs configure "
                    "containerd --registry {})",
                    registry, (hosts / name).string(), registry));
  }
}

/// Whether a line of YAML names the URL, and not as a part of a longer one or in a comment.
bool yaml_names(std::string_view text, const std::string& url) {
  bool in_comment = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char before = i == 0 ? '\n' : text[i - 1];
    if (text[i] == '\n') in_comment = false;
    if (text[i] == '#' && (before == '\n' || before == ' ' || before == '\t')) in_comment = true;
    if (in_comment || !text.substr(i).starts_with(url)) continue;
    const auto rest = text.substr(i + url.size());
    if (rest.empty() || rest.front() < '0' || rest.front() > '9') return true;
  }
  return false;
}

/// These keep a containerd of their own, and write its hosts.toml anew at each start. True: one of
/// them is here.
bool find_distributions(const MirrorWish& wish, const NodeView& node, RuntimePlan& plan) {
  bool found = false;
  for (const std::string name : {"k3s", "rke2"}) {
    if (node.list("/var/lib/rancher/" + name + "/agent").empty() &&
        node.list("/etc/rancher/" + name).empty())
      continue;
    found = true;
    const std::string file = "/etc/rancher/" + name + "/registries.yaml";
    const std::string url = "http://" + wish.mirror;
    if (yaml_names(node.read(file).value_or(""), url)) continue;
    plan.ignored.push_back(
        fmt::format("{} runs a containerd of its own, and writes its hosts.toml from {} at each "
                    "start: have there"
                    "\n  mirrors:\n    \"*\":\n      endpoint: [\"{}\"]\nand restart {}",
                    name, file, url, name));
  }
  return found;
}

void note_version(const ContainerdVersion& version, RuntimePlan& plan) {
  if (version >= ContainerdVersion{2, 0, 7}) return;
  plan.notes.push_back(fmt::format(
      "containerd {}.{}.{} knows no dial_timeout; a mirror on loopback needs none, since "
      "a closed port is refused at once",
      version.major, version.minor, version.patch));
}

/// Wherever an earlier call may have put it.
std::vector<fs::path> roots_to_clean(const MirrorWish& wish, const NodeView& node,
                                     RuntimePlan& plan) {
  if (!wish.hosts_directory.empty()) return {wish.hosts_directory};
  std::vector<fs::path> roots{kUsualHosts};
  try {
    for (auto& root : read_cri_config(node, kConfigToml).hosts_directories(wish.containerd))
      if (std::find(roots.begin(), roots.end(), root) == roots.end())
        roots.push_back(std::move(root));
  } catch (const util::Error& bad) {
    plan.notes.push_back(
        fmt::format("{}; so only {} was looked into (another directory: --hosts-dir DIRECTORY)",
                    bad.what(), kUsualHosts));
  }
  return roots;
}

RuntimePlan plan_containerd_removal(const MirrorWish& wish, const NodeView& node) {
  RuntimePlan plan;
  for (const auto& root : roots_to_clean(wish, node, plan))
    for (const auto& name : directories_in(node, root))
      if (wish.registries.empty() || is_among(wish.registries, name))
        plan.files.push_back(change_hosts_toml(wish, node, root / name));
  return plan;
}

}  // namespace

RuntimePlan plan_containerd(const MirrorWish& wish, const NodeView& node) {
  if (wish.remove) return plan_containerd_removal(wish, node);
  RuntimePlan plan;
  std::vector<fs::path> roots{wish.hosts_directory};
  if (wish.hosts_directory.empty()) {
    const CriConfig config = read_cri_config(node, kConfigToml);
    roots = config.hosts_directories(wish.containerd);
    const bool has_other = find_distributions(wish, node, plan);
    if (config.exists || !has_other) judge_cri_config(config, wish.containerd, plan);
  }
  for (const auto& registry : wish.registries)
    plan.files.push_back(change_hosts_toml(wish, node, directory_for(node, roots, registry)));
  if (wish.registries.empty()) {
    refuse_to_hide(node, roots);
    plan.files.push_back(change_hosts_toml(wish, node, roots.front() / kAllRegistries));
    find_hiding(wish, node, roots.front(), plan);
  }
  if (wish.containerd) note_version(*wish.containerd, plan);
  plan.notes.push_back(fmt::format(
      "hosts.toml is read at each pull, nothing needs a restart; ctr reads it with --hosts-dir {}",
      plan.files.front().file.parent_path().parent_path().string()));
  return plan;
}

}  // namespace swarmfs::cli
