// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fmt/format.h>

#include <algorithm>

#include "cli/marked_block.h"
#include "cli/toml_text.h"

namespace swarmfs::cli {

namespace {

std::string stargz_mirror(const std::string& registry, const std::string& mirror) {
  return fmt::format("[[resolver.host.\"{}\".mirrors]]\nhost = \"{}\"\ninsecure = true\n", registry,
                     mirror);
}

const toml::array* stargz_mirrors(const toml::table& table, const std::string& registry) {
  return table["resolver"]["host"][registry]["mirrors"].as_array();
}

bool is_mirror_first(const toml::array& mirrors, const std::string& mirror) {
  const auto* first = mirrors.empty() ? nullptr : mirrors.front().as_table();
  return first && (*first)["host"].value<std::string>() == mirror;
}

/// Each of `registries` that has mirrors of the administrator's would need ours ahead of them.
std::string add_to_stargz(const std::string& theirs, Made made, const MirrorWish& wish,
                          const std::vector<std::string>& registries, const std::string& file) {
  const auto table = parse_toml_text(theirs, file);
  std::string body;
  for (const auto& registry : registries) {
    const auto lines = stargz_mirror(registry, wish.mirror);
    const auto* mirrors = stargz_mirrors(table, registry);
    if (mirrors && is_mirror_first(*mirrors, wish.mirror)) continue;
    if (mirrors)
      throw util::Error(fmt::format(
          "{}:{}: {} has mirrors already; nothing was changed. Add this ahead of them:\n{}", file,
          mirrors->source().begin.line, registry, lines));
    body += lines;
  }
  if (body.empty()) return theirs;
  const auto text = insert_marked(theirs, theirs.size(), marked(body, made));
  try {
    parse_toml_text(text, file);
  } catch (const util::Error& bad) {
    throw util::Error(fmt::format(
        "{}: its layout leaves no place at its end ({}); nothing was changed. Add by hand:\n{}",
        file, bad.what(), body));
  }
  return text;
}

}  // namespace

RuntimePlan plan_stargz(const MirrorWish& wish, const NodeView& node) {
  const std::string file = "/etc/containerd-stargz-grpc/config.toml";
  const auto registries =
      wish.registries.empty() ? std::vector<std::string>{"docker.io"} : wish.registries;
  RuntimePlan plan;
  plan.files.push_back(
      change_marked(node, file, wish.remove, [&](const std::string& theirs, Made made) {
        return add_to_stargz(theirs, made, wish, registries, file);
      }));
  plan.notes.emplace_back("restart containerd-stargz-grpc to have it read this");
  if (!wish.remove && registries != std::vector<std::string>{"docker.io"})
    plan.notes.emplace_back(
        "only stargz-snapshotter from August 2026 on tells a mirror which registry it means; an "
        "older "
        "one is told that there is no such image, or asks docker.io's of that name, and then goes "
        "to "
        "the registry");
  return plan;
}

}  // namespace swarmfs::cli
