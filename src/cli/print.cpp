// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/print.h"

#include <fmt/format.h>

#include <algorithm>

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

/// What a node was given of an image by others.
std::string given_text(json sources, uint64_t total) {
  sources.erase("cache");
  uint64_t given = 0;
  for (const auto& [source, bytes] : sources.items()) given += bytes.get<uint64_t>();
  return given == 0 ? "all " + human_bytes(total) + " were there" : sources_text(sources);
}

std::string short_node(const std::string& node_id) {
  return node_id.empty() ? "not met yet" : "node " + node_id.substr(0, 12);
}

std::string cluster_text(const json& status) {
  const auto found = status.find("cluster");
  if (found == status.end() || !found->is_object()) return "";
  std::string listen;
  for (const auto& address : found->value("listen", json::array()))
    listen += (listen.empty() ? "" : ", ") + address.get<std::string>();
  const std::string zone = found->value("zone", "");
  return fmt::format("cluster   {}{}, {} peers, {} DHT nodes, listens on {}\n",
                     short_node(found->value("node_id", "")), zone.empty() ? "" : ", zone " + zone,
                     number(*found, "peers"), number(*found, "dht_nodes"), listen);
}

std::string peer_state(const json& peer) {
  const std::string state = peer.value("state", "?");
  if (state == "ok") return state;
  const std::string reason = peer.value("reason", "");
  const double left = peer.value("silent_seconds", 0.0);
  if (state == "silent" && left > 0)
    return fmt::format("silent for {:.1f} s more: {}", left, reason);
  return state + ": " + reason;
}

std::string peer_speed(const json& peer) {
  std::string text;
  if (peer.contains("first_byte_ms"))
    text = fmt::format("first byte {:.1f} ms (p95 {:.1f} ms), ", peer.value("first_byte_ms", 0.0),
                       peer.value("p95_ms", 0.0));
  if (peer.contains("bytes_per_second"))
    text += human_bytes(static_cast<uint64_t>(peer.value("bytes_per_second", 0.0))) + "/s, ";
  return text;
}

std::string holders_text(const json& layer) {
  std::string text;
  for (const auto& holder : layer.value("holders", json::array()))
    text += fmt::format("{}{} {}", text.empty() ? "  held by: " : ", ", holder.value("peer", ""),
                        human_bytes(number(holder, "bytes")));
  return text.empty() ? text : text + "\n";
}

std::string layer_state(const json& layer) {
  if (layer.value("verified", false)) return "whole, digest checked";
  return layer.value("lazy", false) ? "lazy" : "not lazy";
}

std::string rate_text(const json& layer, const char* key) {
  return human_bytes(static_cast<uint64_t>(layer.value(key, 0.0))) + "/s";
}

/// 99 % where anything is missing.
std::string percent_text(uint64_t part, uint64_t whole) {
  return fmt::format("{} %", part >= whole ? 100 : 100 * part / whole);
}

/// How many members, and how many of them have all of it.
std::string members_text(const json& layer) {
  const auto& members = layer.at("members");
  const auto whole = std::count_if(members.begin(), members.end(), [&](const json& member) {
    return number(member, "bytes") == number(layer, "size");
  });
  return fmt::format("{} ({} whole)", members.size(), whole);
}

constexpr const char* kSwarmRow = "  {:<19}  {:>8}  {:>5}  {:>14}  {:>6}  {:>11}  {:>11}  {}\n";

std::string swarm_row(const json& layer) {
  const auto bulk = layer.find("bulk_peers");
  const bool exchanged = bulk != layer.end() && bulk->is_number();
  return fmt::format(kSwarmRow, short_digest(layer.value("digest", "")),
                     human_bytes(number(layer, "size")),
                     percent_text(number(layer, "bytes"), number(layer, "size")),
                     members_text(layer), number(layer, "rarest_copies"),
                     rate_text(layer, "received_per_second"), rate_text(layer, "given_per_second"),
                     exchanged ? fmt::format("{} peers", bulk->get<uint64_t>()) : "-");
}

std::string swarm_members(const json& layer) {
  std::string text;
  for (const auto& member : layer.at("members")) {
    const std::string zone = member.value("zone", "");
    text +=
        fmt::format("    {}  {}{}  {}{}\n", member.value("endpoint", ""),
                    short_node(member.value("node_id", "")), zone.empty() ? "" : "  zone " + zone,
                    percent_text(number(member, "bytes"), number(layer, "size")),
                    member.value("wants", false) ? ", comes in" : "");
  }
  return text;
}

std::string left_out_text(const json& layers, size_t shown) {
  if (shown >= layers.size()) return "";
  uint64_t least = number(layers[shown], "rarest_copies");
  bool all_here = true;
  for (size_t i = shown; i < layers.size(); ++i) {
    least = std::min(least, number(layers[i], "rarest_copies"));
    all_here = all_here && number(layers[i], "bytes") == number(layers[i], "size");
  }
  return fmt::format("  and {} more{}, at least {} copies of each (all: swarmfs status -v)\n",
                     layers.size() - shown, all_here ? ", all of them whole here" : "", least);
}

}  // namespace

std::string swarms_text(const json& swarms, bool verbose) {
  constexpr size_t kShown = 20;
  if (swarms.contains("error"))
    return fmt::format("swarms    not known: {}\n", swarms.value("error", ""));
  const auto& layers = swarms.at("layers");
  if (layers.empty()) return "";
  std::string text = fmt::format("swarms    {} layers; {} of {} peers answered\n", layers.size(),
                                 number(swarms, "answered"), number(swarms, "peers")) +
                     fmt::format(kSwarmRow, "layer", "size", "here", "members", "copies",
                                 "received", "given", "BitTorrent");
  const size_t shown = verbose ? layers.size() : std::min(kShown, layers.size());
  for (size_t i = 0; i < shown; ++i)
    text += swarm_row(layers[i]) + (verbose ? swarm_members(layers[i]) : "");
  return text + left_out_text(layers, shown);
}

std::string mounts_text(const json& mounts) {
  if (mounts.empty()) return "no image is mounted (try: swarmfs mount REFERENCE DIRECTORY)\n";
  std::string text;
  for (const auto& mount : mounts) {
    const std::string options = mount.value("options", "");
    text += fmt::format("{}  on {}  {} present{}{}\n", mount.value("reference", ""),
                        mount.value("directory", ""), present_text(mount, "bytes_total"),
                        mount.value("pinned", false) ? "  pinned" : "",
                        options.empty() ? "" : "  " + options);
  }
  return text;
}

std::string trouble_text(const json& cache) {
  const auto found = cache.find("trouble");
  if (found == cache.end() || !found->is_string()) return "";
  return "          warning: " + found->get<std::string>() + "\n";
}
std::string containerd_text(const json& status) {
  const auto found = status.find("containerd");
  if (found == status.end() || !found->is_object()) return "";
  const auto trouble = found->find("trouble");
  const bool has_trouble = trouble != found->end() && trouble->is_string();
  return fmt::format("handed over {} layers of containerd, {}\n{}", number(*found, "layers"),
                     human_bytes(number(*found, "bytes")),
                     has_trouble
                         ? fmt::format("          warning: {} is not watched: {}\n",
                                       found->value("address", ""), trouble->get<std::string>())
                         : "");
}
std::string status_text(const json& status) {
  const json& cache = status.at("cache");
  return fmt::format(
      "swarmfsd {}, up {:.0f} s, tree at {}\ncache     {} of {} in {} layers, {} evicted\n"
      "{}{}{}read from {}\n{}",
      status.value("version", "?"), status.value("uptime_seconds", 0.0),
      status.value("mount_point", "?"), human_bytes(number(cache, "bytes")),
      human_bytes(number(cache, "quota")), number(cache, "layers"),
      human_bytes(number(cache, "evicted")), trouble_text(cache), cluster_text(status),
      containerd_text(status), sources_text(status.at("bytes_by_source")),
      mounts_text(status.at("mounts")));
}

std::string layers_text(const json& layers) {
  std::string text;
  for (const auto& layer : layers)
    text += fmt::format("{}  {}  {}\n", short_digest(layer.value("digest", "")),
                        present_text(layer, "size"), layer_state(layer));
  return text;
}

std::string peers_text(const json& peers) {
  if (peers.empty()) return "no peers are known (see [cluster] in swarmfs.toml)\n";
  std::string text;
  for (const auto& peer : peers) {
    const std::string zone = peer.value("zone", "");
    text += fmt::format("{}  {}{}  {}\n  {}{} given, {} in flight\n", peer.value("endpoint", ""),
                        short_node(peer.value("node_id", "")), zone.empty() ? "" : "  zone " + zone,
                        peer_state(peer), peer_speed(peer),
                        human_bytes(number(peer, "bytes_given")), number(peer, "in_flight"));
  }
  return text;
}

std::string preheat_text(const std::string& reference, const json& job) {
  std::string nodes;
  size_t done = 0;
  for (const auto& node : job.at("nodes")) {
    const std::string zone = node.value("zone", ""), state = node.value("state", "?");
    const double seconds = node.value("seconds", 0.0);
    done += state == "done";
    nodes += fmt::format(
        "{}{}  {}\n", node.value("endpoint", ""), zone.empty() ? "" : "  zone " + zone,
        state == "done"
            ? fmt::format("done in {:.1f} s: {}", seconds,
                          given_text(node.at("bytes_by_source"), number(node, "bytes_total")))
        : state == "failed" ? "failed: " + node.value("error", "")
                            : state);
  }
  std::string left_out;
  for (const auto& node : job.value("left_out", json::array()))
    left_out +=
        fmt::format("not asked: {}  {}\n", node.value("endpoint", ""), node.value("why", ""));
  return fmt::format("{} is on {} of {} nodes\n{}{}", reference, done, job.at("nodes").size(),
                     nodes, left_out);
}

std::string explain_text(const json& report) {
  std::string text =
      fmt::format("{}\nmanifest {}\n", report.value("reference", ""), report.value("manifest", ""));
  size_t position = 0;
  for (const auto& layer : report.at("layers"))
    text += fmt::format("layer {}  {}\n  {}: {}\n  {}\n  present: {}{}\n  given by: {}\n{}",
                        position++, layer.value("digest", ""),
                        layer.value("lazy", false) ? "lazy" : "not lazy", layer.value("why", ""),
                        layer.value("trust", "provisional"), present_text(layer, "size"),
                        layer.value("verified", false) ? ", digest checked" : "",
                        sources_text(layer.at("sources")), holders_text(layer));
  return text;
}

}  // namespace swarmfs::cli
