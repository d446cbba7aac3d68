// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/marked_block.h"
#include "cli/toml_text.h"

namespace swarmfs::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kDropIns = "/etc/containers/registries.conf.d";
constexpr std::string_view kOurDropIn = "50-swarmfs.conf";
constexpr std::string_view kMainFile = "/etc/containers/registries.conf";

std::string registry_table(const std::string& registry, const std::string& mirror) {
  return fmt::format(
      "[[registry]]\nprefix = \"{0}\"\nlocation = \"{0}\"\n"
      "[[registry.mirror]]\nlocation = \"{1}/{0}\"\ninsecure = true\n",
      registry, mirror);
}

std::string prefix_of(const toml::table& registry) {
  return registry["prefix"].value<std::string>().value_or(
      registry["location"].value<std::string>().value_or(""));
}

std::vector<std::string> registries_in(const std::string& text, const std::string& file) {
  std::vector<std::string> found;
  const auto table = parse_toml_text(text, file);
  if (const auto* registries = table["registry"].as_array())
    for (const auto& one : *registries)
      if (one.is_table()) found.push_back(prefix_of(*one.as_table()));
  return found;
}

bool asks_mirror(const toml::table& registry, const std::string& location) {
  const auto* mirrors = registry["mirror"].as_array();
  return mirrors && !mirrors->empty() && mirrors->front().is_table() &&
         (*mirrors->front().as_table())["location"].value<std::string>() == location;
}

/// An entry of the administrator's for the same prefix: the one in the later file would replace the
/// other as a whole. True: it asks the mirror already.
bool look_at_theirs(const toml::table& theirs, const std::string& registry,
                    const std::string& mirror, const std::string& file) {
  const std::string location = mirror + "/" + registry;
  if (asks_mirror(theirs, location)) return true;
  throw util::Error(fmt::format(
      "{}:{}: there is a [[registry]] for {} already, and only one is used; nothing was changed. "
      "Add "
      "this below it, ahead of its other mirrors:\n[[registry.mirror]]\nlocation = \"{}\"\n"
      "insecure = true\n",
      file, theirs.source().begin.line, registry, location));
}

/// registries.conf and its drop-ins, but not ours.
std::vector<fs::path> their_files(const NodeView& node) {
  std::vector<fs::path> files{kMainFile};
  for (const auto& name : node.list(kDropIns))
    if (name.ends_with(".conf") && name != kOurDropIn) files.push_back(fs::path(kDropIns) / name);
  return files;
}

void refuse_version_1(const toml::table& table, const std::string& file) {
  const auto registries = table["registries"];
  for (const char* name : {"search", "insecure", "block"})
    if (registries[name])
      throw util::Error(
          fmt::format("{}:{}: [registries.{}] is of version 1, which cannot be mixed with mirrors; "
                      "nothing was changed (see containers-registries.conf(5))",
                      file, registries[name].node()->source().begin.line, name));
}

/// Takes off `registries` what asks the mirror by the administrator's own words.
void leave_out_theirs(const NodeView& node, const std::string& mirror,
                      std::vector<std::string>& registries) {
  for (const auto& file : their_files(node)) {
    const auto text = node.read(file);
    if (!text) continue;
    const auto table = parse_toml_text(*text, file.string());
    refuse_version_1(table, file.string());
    const auto* theirs = table["registry"].as_array();
    if (!theirs) continue;
    for (const auto& one : *theirs) {
      const auto* entry = one.as_table();
      const auto same = entry ? std::find(registries.begin(), registries.end(), prefix_of(*entry))
                              : registries.end();
      if (same != registries.end() && look_at_theirs(*entry, *same, mirror, file.string()))
        registries.erase(same);
    }
  }
}

/// Why `theirs` takes pulls from one of `registries` past the mirror: the longest prefix counts.
/// Empty: it does not. One whose location has a port cannot be asked of the mirror.
std::string why_passes_by(const toml::table& theirs, const std::vector<std::string>& registries,
                          const std::string& mirror, const std::string& file) {
  const auto prefix = prefix_of(theirs);
  const auto registry = std::find_if(registries.begin(), registries.end(), [&](const auto& one) {
    return prefix.starts_with(one + "/");
  });
  const auto location = theirs["location"].value<std::string>().value_or(prefix);
  const bool has_port = location.substr(0, location.find('/')).find(':') != location.npos;
  if (registry == registries.end() || has_port || theirs["blocked"].value_or(false) ||
      asks_mirror(theirs, mirror + "/" + location))
    return "";
  return fmt::format(
      "pulls of {0} pass by the mirror: {1}:{2} has a [[registry]] for it, which hides that of "
      "{3}. Add this below it, ahead of its other mirrors:\n  [[registry.mirror]]\n  location = "
      "\"{4}/{5}\"\n  insecure = true",
      prefix, file, theirs.source().begin.line, *registry, mirror, location);
}

/// Of two entries for the same prefix the one in the later file counts.
void find_longer_prefixes(const NodeView& node, const std::string& mirror,
                          const std::vector<std::string>& registries, RuntimePlan& plan) {
  std::map<std::string, std::string> reasons;
  for (const auto& file : their_files(node)) {
    const auto table = parse_toml_text(node.read(file).value_or(""), file.string());
    const auto* theirs = table["registry"].as_array();
    if (!theirs) continue;
    for (const auto& one : *theirs)
      if (const auto* entry = one.as_table())
        reasons[prefix_of(*entry)] = why_passes_by(*entry, registries, mirror, file.string());
  }
  for (const auto& [prefix, reason] : reasons)
    if (!reason.empty()) plan.ignored.push_back(reason);
}

std::vector<std::string> wished_registries(const MirrorWish& wish, const NodeView& node,
                                           const fs::path& file) {
  auto registries = wish.registries;
  const auto there = node.read(file);
  if (registries.empty() && there)
    registries = registries_in(find_marked(*there, file.string()).block, file.string());
  if (registries.empty()) registries.emplace_back("docker.io");
  for (const auto& registry : registries)
    if (registry.find(':') != registry.npos)
      throw util::Error(fmt::format(
          "{}: these clients name the registry in the path, where it can have no port", registry));
  return registries;
}

}  // namespace

RuntimePlan plan_podman(const MirrorWish& wish, const NodeView& node) {
  RuntimePlan plan;
  const fs::path file = fs::path(kDropIns) / kOurDropIn;
  const auto there = node.read(file);
  if (there && find_marked(*there, file.string()).block.empty() && !wish.remove)
    throw util::Error(fmt::format(
        "{} is not of swarmfs's making; nothing was changed (try: move it)", file.string()));
  auto registries = wish.remove ? std::vector<std::string>{} : wished_registries(wish, node, file);
  if (!wish.remove) {
    find_longer_prefixes(node, wish.mirror, registries, plan);
    leave_out_theirs(node, wish.mirror, registries);
  }
  const auto add = [&](const std::string& theirs, Made made) {
    std::string body;
    for (const auto& registry : registries) body += registry_table(registry, wish.mirror);
    return insert_marked(theirs, theirs.size(), marked(body, made));
  };
  if (wish.remove || there || !registries.empty())
    plan.files.push_back(change_marked(node, file, wish.remove, add));
  if (wish.remove) return plan;
  plan.notes.emplace_back(
      "Podman, skopeo and buildah read this at each pull; CRI-O after: systemctl reload crio");
  plan.notes.emplace_back(
      "a user's own ~/.config/containers/registries.conf replaces all of "
      "/etc/containers/registries.conf*");
  return plan;
}

}  // namespace swarmfs::cli
