// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/hosts_toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cli/toml_text.h"

namespace swarmfs::cli {

namespace {

std::string mirror_url(const std::string& mirror) {
  return "http://" + mirror;
}

uint32_t line_of(const toml::node& node) {
  return node.source().begin.line;
}

uint32_t first_host_line(const toml::table& hosts) {
  uint32_t first = UINT32_MAX;
  for (const auto& [key, host] : hosts) first = std::min(first, line_of(host));
  return first;
}

/// Whether each host has a header of its own: another table may then stand ahead of them. After a
/// bare [host], TOML readers disagree.
bool only_headers(const std::string& text, const toml::table& hosts) {
  const size_t lines = 1 + static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  for (size_t i = 1; i <= lines; ++i) {
    const auto line = toml_line(text, i);
    const auto header = line.substr(0, line.find(']'));
    if (line.starts_with('[') && header.find_first_not_of("[ \t\"'host") == header.npos)
      return false;
  }
  return std::all_of(hosts.begin(), hosts.end(), [&](const auto& entry) {
    const auto line = toml_line(text, line_of(entry.second));
    return line.starts_with('[') && !line.starts_with("[[");
  });
}

/// Whether it is asked for manifests and blobs. Where nothing is said, it is.
bool may_pull(const toml::table& host) {
  const auto* capabilities = host["capabilities"].as_array();
  if (!capabilities) return !host.contains("capabilities");
  return std::any_of(capabilities->begin(), capabilities->end(),
                     [](const toml::node& one) { return one.value<std::string>() == "pull"; });
}

/// Whether it is asked ahead of all others, and for more than what a tag means.
bool asks_first(const toml::table& hosts, const std::string& mirror) {
  const auto* ours = hosts.get(mirror_url(mirror));
  return ours && ours->is_table() && may_pull(*ours->as_table()) &&
         std::none_of(hosts.begin(), hosts.end(), [&](const auto& entry) {
           return entry.second.source().begin < ours->source().begin;
         });
}

[[noreturn]] void refuse_hosts_toml(const std::string& file, const std::string& why,
                                    const std::string& mirror) {
  throw util::Error(
      fmt::format("{}: {}; nothing was changed. Put this ahead of its other hosts by hand:\n{}",
                  file, why, hosts_toml_table(mirror)));
}

/// The mirror stands ahead, and all else is as it was.
bool went_well(const std::string& text, const toml::table& was, const std::string& mirror,
               const std::string& file) {
  toml::table now = parse_toml_text(text, file);
  auto* hosts = now["host"].as_table();
  const auto* ours = hosts ? hosts->get(mirror_url(mirror)) : nullptr;
  if (!ours || line_of(*ours) != first_host_line(*hosts)) return false;
  hosts->erase(mirror_url(mirror));
  if (hosts->empty()) now.erase("host");
  return now == was;
}

}  // namespace

std::string hosts_toml_table(const std::string& mirror) {
  return fmt::format(
      "[host.\"{}\"]\ncapabilities = [\"pull\", \"resolve\"]\ndial_timeout = \"200ms\"\n",
      mirror_url(mirror));
}

std::string add_to_hosts_toml(const std::string& theirs, const std::string& mirror, Made made,
                              const std::string& file) {
  const toml::table table = parse_toml_text(theirs, file);
  const auto* hosts = table["host"].as_table();
  const bool has_hosts = hosts && !hosts->empty();
  if (has_hosts && hosts->contains(mirror_url(mirror))) {
    if (asks_first(*hosts, mirror)) return theirs;
    refuse_hosts_toml(file, "it names the mirror, but not first, or not for pulls", mirror);
  }
  if (table.contains("host") && !(has_hosts && only_headers(theirs, *hosts)))
    refuse_hosts_toml(file, "its hosts are not written as [host.\"…\"] tables", mirror);
  const size_t offset = has_hosts ? offset_above(theirs, first_host_line(*hosts)) : theirs.size();
  const std::string made_text =
      insert_marked(theirs, offset, marked(hosts_toml_table(mirror), made));
  if (!went_well(made_text, table, mirror, file))
    refuse_hosts_toml(file, "its layout leaves no place for another host", mirror);
  return made_text;
}

bool hosts_toml_lacks_certificates(const std::string& text, const std::string& file) {
  const toml::table table = parse_toml_text(text, file);
  const auto* hosts = table["host"].as_table();
  return !(hosts && !hosts->empty()) && !table.contains("ca") && !table.contains("client");
}

bool hosts_toml_asks_first(const std::string& text, const std::string& mirror) {
  try {
    const toml::table table = parse_toml_text(text, "");
    const auto* hosts = table["host"].as_table();
    return hosts && asks_first(*hosts, mirror);
  } catch (const util::Error&) {
    return false;
  }
}

}  // namespace swarmfs::cli
