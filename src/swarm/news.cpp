// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/news.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "swarm/shareholders.h"

namespace swarmfs::swarm {

using nlohmann::json;
using util::Failure;
using util::Fault;

namespace {

constexpr uint64_t kLargestLayer = 1ull << 40;
constexpr size_t kMostLayers = 256;
constexpr size_t kLongestZone = 63;
constexpr size_t kLongestId = 128;  ///< of a node
constexpr size_t kMostComing = 256;

/// Of all layers of a text: a few bytes of it would else make many of ours.
constexpr uint64_t kMostByRuns = 1 << 22;  ///< blocks
constexpr uint64_t kLettersOfRun = 8;
constexpr uint64_t kBlocksOfLetter = 6;  ///< in base64

/// Empty: they do not fit the layer. `by_runs`: how many may be told so, from here on.
std::optional<BlockSet> read_blocks(const json& node, uint64_t count, uint64_t& by_runs) {
  if (!node.contains("runs"))
    return BlockSet::parse(node.at("blocks").get_ref<const std::string&>(), count);
  const json& runs = node.at("runs");
  const auto is_number = [](const json& run) { return run.is_number_unsigned(); };
  if (count > by_runs || !runs.is_array() || !std::all_of(runs.begin(), runs.end(), is_number))
    return std::nullopt;
  by_runs -= count;
  return BlockSet::of_runs(runs.get<std::vector<uint64_t>>(), count);
}

void write_blocks(const BlockSet& blocks, uint64_t& by_runs, json& said) {
  auto runs = blocks.size() <= by_runs ? blocks.runs() : std::vector<uint64_t>();
  if (runs.empty() || runs.size() * kLettersOfRun >= blocks.size() / kBlocksOfLetter) {
    said["blocks"] = blocks.to_base64();
    return;
  }
  by_runs -= blocks.size();
  said["runs"] = std::move(runs);
}

/// Empty: out of bounds.
std::optional<std::vector<chunk::BlockRange>> read_coming(const json& node, uint64_t count) {
  std::vector<chunk::BlockRange> made;
  const json list = node.value("coming", json::array());
  if (!list.is_array() || list.size() > kMostComing) return std::nullopt;
  for (const json& pair : list) {
    const chunk::BlockRange blocks{pair.at(0).get<uint64_t>(), pair.at(1).get<uint64_t>()};
    if (blocks.first > count || blocks.count > count - blocks.first) return std::nullopt;
    made.push_back(blocks);
  }
  return made;
}

json pairs(const std::vector<chunk::BlockRange>& list) {
  json made = json::array();
  for (size_t i = 0; i < std::min(list.size(), kMostComing); ++i)
    made.push_back({list[i].first, list[i].count});
  return made;
}

util::Outcome<LayerNews> read_layer(const json& node, uint64_t& by_runs) {
  LayerNews made;
  made.size = node.at("size").get<uint64_t>();
  made.wants = node.at("wants").get<bool>();
  made.sealed = node.at("sealed").get<bool>();
  if (made.size > kLargestLayer) return Failure{Fault::invalid, "a layer of absurd size"};
  auto blocks = read_blocks(node, chunk::block_count(made.size), by_runs);
  if (!blocks) return Failure{Fault::invalid, "blocks that do not fit the layer"};
  made.blocks = std::move(*blocks);
  auto coming = read_coming(node, chunk::block_count(made.size));
  if (!coming) return Failure{Fault::invalid, "blocks on their way that do not fit the layer"};
  made.coming = std::move(*coming);
  made.bulk_port = node.value("bulk_port", uint16_t{0});
  const json named = node.value("shareholders", json::object());
  if (!named.is_object() || named.size() > kMostShareholders)
    return Failure{Fault::invalid, "shareholders out of bounds"};
  for (const auto& [node_id, text] : named.items()) {
    const auto endpoint = Endpoint::parse(text.get_ref<const std::string&>());
    if (!endpoint || !endpoint->is_literal() || node_id.empty() || node_id.size() > kLongestId)
      return Failure{Fault::invalid, "a shareholder without an address"};
    made.shareholders.emplace(node_id, *endpoint);
  }
  return made;
}

json texts(const std::map<std::string, Endpoint>& shareholders) {
  json made = json::object();
  for (const auto& [node_id, endpoint] : shareholders) made[node_id] = endpoint.to_string();
  return made;
}

}  // namespace

bool LayerNews::has_here(chunk::BlockRange asked) const {
  return blocks.has(asked) &&
         std::none_of(coming.begin(), coming.end(), [&](const chunk::BlockRange& one) {
           return one.first < asked.end() && asked.first < one.end();
         });
}

std::string News::to_json(bool by_runs) const {
  json list = json::object();
  uint64_t left = by_runs ? kMostByRuns : 0;
  for (const auto& [digest, layer] : layers) {
    auto& said = list[digest.hex()] = {{"size", layer.size},
                                       {"wants", layer.wants},
                                       {"sealed", layer.sealed},
                                       {"shareholders", texts(layer.shareholders)}};
    write_blocks(layer.blocks, left, said);
    if (!layer.coming.empty()) said["coming"] = pairs(layer.coming);
    if (layer.bulk_port != 0) said["bulk_port"] = layer.bulk_port;
  }
  json made{{"zone", zone}, {"layers", std::move(list)}};
  if (full) made["full"] = true;
  if (link > 0) made["link"] = link;
  return made.dump();
}

util::Outcome<News> News::parse(std::string_view text) {
  try {
    const json document = json::parse(text);
    News made;
    made.zone = document.at("zone").get<std::string>();
    made.full = document.value("full", json(false)).get<bool>();
    const json rate = document.value("link", json(0U));
    if (!rate.is_number_unsigned()) return Failure{Fault::invalid, "a link of no rate"};
    made.link = rate.get<uint64_t>();
    const json& list = document.at("layers");
    if (made.zone.size() > kLongestZone || !list.is_object() || list.size() > kMostLayers)
      return Failure{Fault::invalid, "news out of bounds"};
    uint64_t by_runs = kMostByRuns;
    for (const auto& [hex, node] : list.items()) {
      const auto digest = util::Digest::parse_hex(hex);
      if (!digest) return Failure{Fault::invalid, "a layer without a digest"};
      auto layer = read_layer(node, by_runs);
      if (!layer) return layer.failure();
      made.layers.emplace(*digest, std::move(*layer));
    }
    return made;
  } catch (const json::exception& error) {
    return Failure{Fault::invalid, error.what()};
  }
}

}  // namespace swarmfs::swarm
