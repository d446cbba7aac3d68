// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/print.h"

#include <fmt/format.h>

#include "util/units.h"

namespace swarmfs::cli {

using nlohmann::json;
using util::human_bytes;

namespace {

uint64_t number(const json& object, const char* key) {
  return object.value(key, uint64_t{0});
}

std::string short_digest(const std::string& digest) {
  return digest.substr(0, std::string("sha256:").size() + 12);
}

std::string present_text(const json& object, const char* total) {
  const uint64_t all = number(object, total), present = number(object, "bytes_present");
  const double share = all == 0 ? 1 : static_cast<double>(present) / static_cast<double>(all);
  return fmt::format("{} of {} ({:.0f} %)", human_bytes(present), human_bytes(all), share * 100);
}

std::string sources_text(const json& sources) {
  std::string text;
  for (const auto& [source, bytes] : sources.items())
    if (bytes.get<uint64_t>() > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", source,
                          human_bytes(bytes.get<uint64_t>()));
  return text.empty() ? "nothing yet" : text;
}

std::string layer_state(const json& layer) {
  if (layer.value("verified", false)) return "whole, digest checked";
  return layer.value("lazy", false) ? "lazy" : "not lazy";
}

}  // namespace

std::string mounts_text(const json& mounts) {
  if (mounts.empty()) return "no image is mounted (try: swarmfs mount REFERENCE DIRECTORY)\n";
  std::string text;
  for (const auto& mount : mounts)
    text += fmt::format("{}  on {}  {} present{}\n", mount.value("reference", ""),
                        mount.value("directory", ""), present_text(mount, "bytes_total"),
                        mount.value("pinned", false) ? "  pinned" : "");
  return text;
}

std::string status_text(const json& status) {
  const json& cache = status.at("cache");
  return fmt::format(
      "swarmfsd {}, up {:.0f} s, tree at {}\ncache     {} of {} in {} layers, {} evicted\n"
      "read from {}\n{}",
      status.value("version", "?"), status.value("uptime_seconds", 0.0),
      status.value("mount_point", "?"), human_bytes(number(cache, "bytes")),
      human_bytes(number(cache, "quota")), number(cache, "layers"),
      human_bytes(number(cache, "evicted")), sources_text(status.at("bytes_by_source")),
      mounts_text(status.at("mounts")));
}

std::string layers_text(const json& layers) {
  std::string text;
  for (const auto& layer : layers)
    text += fmt::format("{}  {}  {}\n", short_digest(layer.value("digest", "")),
                        present_text(layer, "size"), layer_state(layer));
  return text;
}

std::string explain_text(const json& report) {
  std::string text =
      fmt::format("{}\nmanifest {}\n", report.value("reference", ""), report.value("manifest", ""));
  size_t position = 0;
  for (const auto& layer : report.at("layers"))
    text += fmt::format("layer {}  {}\n  {}: {}\n  present: {}{}\n  given by: {}\n", position++,
                        layer.value("digest", ""), layer.value("lazy", false) ? "lazy" : "not lazy",
                        layer.value("why", ""), present_text(layer, "size"),
                        layer.value("verified", false) ? ", digest checked" : "",
                        sources_text(layer.at("sources")));
  return text;
}

}  // namespace swarmfs::cli
