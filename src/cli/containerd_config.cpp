// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/containerd_config.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <deque>
#include <set>

#include "cli/toml_text.h"

namespace swarmfs::cli {

namespace fs = std::filesystem;

namespace {

/// What config_path is where nothing sets it, from containerd 2.2 on.
constexpr std::string_view kDefaultConfigPath = "/etc/containerd/certs.d:/etc/docker/certs.d";

struct PluginNames {
  std::string_view id;      ///< of the plugin that pulls
  std::string_view header;  ///< of its registry table
};

PluginNames names_of(int config_version) {
  if (config_version >= 3)
    return {"io.containerd.cri.v1.images", "[plugins.\"io.containerd.cri.v1.images\".registry]"};
  if (config_version == 2)
    return {"io.containerd.grpc.v1.cri", "[plugins.\"io.containerd.grpc.v1.cri\".registry]"};
  return {"cri", "[plugins.cri.registry]"};
}

/// What each of these says makes the CRI part pull by itself (containerd 2.1 and later).
bool says_pull_itself(const toml::table& plugin) {
  const auto& old = plugin.contains("containerd") ? plugin["containerd"]
                                                  : toml::node_view<const toml::node>(plugin);
  const auto& registry = plugin["registry"];
  const auto is = [](const auto& view, const char* key, bool value) {
    return view[key].template value<bool>() == value;
  };
  const auto has_any = [&](const char* key) {
    const auto* entries = registry[key].as_table();
    return entries && !entries->empty();
  };
  const auto downloads = plugin["max_concurrent_downloads"].value<int64_t>();
  return is(plugin, "use_local_image_pull", true) || is(old, "discard_unpacked_layers", true) ||
         is(old, "disable_snapshot_annotations", false) ||
         is(plugin, "image_pull_with_sync_fs", true) || downloads.value_or(3) != 3 ||
         has_any("configs") || has_any("auths");
}

bool disables_cri(const toml::table& table) {
  const auto* plugins = table["disabled_plugins"].as_array();
  return plugins && std::any_of(plugins->begin(), plugins->end(), [](const toml::node& one) {
           const auto name = one.value<std::string>().value_or("");
           return name == "cri" || name == "io.containerd.grpc.v1.cri" ||
                  name == "io.containerd.cri.v1.images";
         });
}

void read_one(const toml::table& table, const std::string& file, CriConfig& config) {
  const int version = static_cast<int>(table["version"].value<int64_t>().value_or(1));
  if (!config.exists) config.version = version;
  config.exists = true;
  config.disabled = config.disabled || disables_cri(table);
  const auto* plugin = table["plugins"][names_of(version).id].as_table();
  if (!plugin) return;
  config.pulls_itself = config.pulls_itself || says_pull_itself(*plugin);
  if (!config.config_path.empty() && !(*plugin)["registry"]["config_path"]) config.lost_in = file;
  const auto* registry = (*plugin)["registry"].as_table();
  if (!registry) return;
  const auto* mirrors = (*registry)["mirrors"].as_table();
  config.old_mirrors = config.old_mirrors || (mirrors && !mirrors->empty());
  const auto* path = registry->get("config_path");
  if (!path && config.has_table) return;
  config.file = file;
  config.lost_in.clear();
  config.version = version;
  config.has_table = true;
  config.line = path ? static_cast<int>(path->source().begin.line) : 0;
  config.config_path = path ? path->value<std::string>().value_or("") : "";
}

/// Absolute paths of what `imports` names; a '*' only in the last part.
std::vector<fs::path> imports_of(const NodeView& node, const fs::path& file,
                                 const toml::table& table) {
  std::vector<fs::path> found;
  const auto* imports = table["imports"].as_array();
  if (!imports) return found;
  for (const auto& one : *imports) {
    const fs::path pattern =
        (file.parent_path() / one.value<std::string>().value_or("")).lexically_normal();
    for (const auto& name : node.list(pattern.parent_path()))
      if (!name.ends_with('/') && ::fnmatch(pattern.filename().c_str(), name.c_str(), 0) == 0)
        found.push_back(pattern.parent_path() / name);
  }
  return found;
}

/// The lines to write, and where.
std::string way_to_set(const CriConfig& config, int version_to_write, const fs::path& directory) {
  const std::string line = fmt::format("config_path = \"{}\"", directory.string());
  const std::string header(names_of(version_to_write).header);
  const std::string old =
      config.old_mirrors
          ? " Take registry.mirrors out of it: with both, the CRI plugin does not load."
          : "";
  if (config.line > 0)
    return fmt::format("in {}, line {}, set\n  {}\nand restart containerd.{}", config.file,
                       config.line, line, old);
  if (config.has_table)
    return fmt::format("in {}, below {}, add\n  {}\nand restart containerd.{}", config.file, header,
                       line, old);
  const std::string version =
      config.exists ? "" : fmt::format("  version = {}\n", version_to_write);
  return fmt::format("{} {} with\n{}  {}\n  {}\nand restart containerd.{}",
                     config.exists ? "end" : "write", config.file, version, header, line, old);
}

bool has_default_path(const CriConfig& config, const std::optional<ContainerdVersion>& version) {
  return config.line == 0 && version && *version >= ContainerdVersion{2, 2, 0};
}

/// Of the configuration that is to be written.
int version_to_write(const CriConfig& config, const std::optional<ContainerdVersion>& version) {
  if (config.exists) return config.version;
  return version && version->major >= 2 ? 3 : 2;
}

}  // namespace

std::optional<ContainerdVersion> parse_containerd_version(std::string_view said) {
  for (size_t at = said.find(' '); at != said.npos; at = said.find(' ', at + 1)) {
    auto word = std::string(said.substr(at + 1));
    if (word.starts_with('v')) word.erase(0, 1);
    ContainerdVersion made;
    if (std::sscanf(word.c_str(), "%d.%d.%d", &made.major, &made.minor, &made.patch) == 3)
      return made;
  }
  return std::nullopt;
}

std::vector<fs::path> CriConfig::hosts_directories(
    const std::optional<ContainerdVersion>& containerd) const {
  std::vector<fs::path> directories;
  // The transfer service cannot use the default, which is a list.
  std::string_view rest = config_path;
  if (has_default_path(*this, containerd) && pulls_itself) rest = kDefaultConfigPath;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    auto one = rest.substr(0, end);
    while (one.size() > 1 && one.ends_with('/')) one.remove_suffix(1);
    if (one.starts_with('/')) directories.emplace_back(one);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (directories.empty()) directories.emplace_back(kUsualHosts);
  return directories;
}

CriConfig read_cri_config(const NodeView& node, const fs::path& file) {
  CriConfig config;
  config.file = file.string();
  std::deque<fs::path> pending{file};
  std::set<fs::path> seen;
  for (; !pending.empty(); pending.pop_front()) {
    const auto text = node.read(pending.front());
    if (!text || !seen.insert(pending.front()).second) continue;
    const toml::table table = parse_toml_text(*text, pending.front().string());
    read_one(table, pending.front().string(), config);
    for (auto& more : imports_of(node, pending.front(), table)) pending.push_back(std::move(more));
  }
  return config;
}

void judge_cri_config(const CriConfig& config, const std::optional<ContainerdVersion>& version,
                      RuntimePlan& plan) {
  const fs::path hosts = config.hosts_directories(version).front();
  if (config.disabled)
    return plan.notes.push_back(fmt::format(
        "containerd runs without its CRI part here (disabled_plugins in {}): what pulls "
        "must look into {} by itself",
        config.file, hosts.string()));
  const auto way = way_to_set(config, version_to_write(config, version), hosts);
  if (config.config_path.empty() && !has_default_path(config, version))
    return plan.ignored.push_back(fmt::format(
        "what a kubelet pulls ignores hosts.toml, since no config_path is set: {}", way));
  const bool replaces_tables = version ? *version < ContainerdVersion{2, 0, 0} : config.version < 3;
  if (!config.lost_in.empty() && replaces_tables)
    plan.ignored.push_back(fmt::format(
        "containerd before 2 takes the plugin's table from the last file that has one, {}, where "
        "there is no config_path: move it there from {}",
        config.lost_in, config.file));
  const bool several =
      config.config_path.empty() || config.config_path.find(':') != std::string::npos;
  const bool may_transfer = !version || *version >= ContainerdVersion{2, 1, 0};
  if (several && may_transfer && !config.pulls_itself)
    plan.ignored.push_back(fmt::format(
        "containerd from 2.1 on takes the list in config_path{} for one directory, finds none of "
        "that name, and ignores hosts.toml: {}",
        config.config_path.empty() ? " (the default)" : "", way));
  if (!config.config_path.empty() && config.old_mirrors)
    plan.ignored.push_back(
        fmt::format("the CRI plugin does not load with both config_path and registry.mirrors: take "
                    "the mirrors out of {}",
                    config.file));
}

}  // namespace swarmfs::cli
