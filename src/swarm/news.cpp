// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/news.h"

#include <nlohmann/json.hpp>

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

util::Outcome<LayerNews> read_layer(const json& node) {
  LayerNews made;
  made.size = node.at("size").get<uint64_t>();
  made.wants = node.at("wants").get<bool>();
  made.sealed = node.at("sealed").get<bool>();
  if (made.size > kLargestLayer) return Failure{Fault::invalid, "a layer of absurd size"};
  auto blocks = BlockSet::parse(node.at("blocks").get_ref<const std::string&>(),
                                chunk::block_count(made.size));
  if (!blocks) return Failure{Fault::invalid, "blocks that do not fit the layer"};
  made.blocks = std::move(*blocks);
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

std::string News::to_json() const {
  json list = json::object();
  for (const auto& [digest, layer] : layers) {
    auto& said = list[digest.hex()] = {{"size", layer.size},
                                       {"wants", layer.wants},
                                       {"sealed", layer.sealed},
                                       {"blocks", layer.blocks.to_base64()},
                                       {"shareholders", texts(layer.shareholders)}};
    if (layer.bulk_port != 0) said["bulk_port"] = layer.bulk_port;
  }
  return json{{"zone", zone}, {"layers", std::move(list)}}.dump();
}

util::Outcome<News> News::parse(std::string_view text) {
  try {
    const json document = json::parse(text);
    News made;
    made.zone = document.at("zone").get<std::string>();
    const json& list = document.at("layers");
    if (made.zone.size() > kLongestZone || !list.is_object() || list.size() > kMostLayers)
      return Failure{Fault::invalid, "news out of bounds"};
    for (const auto& [hex, node] : list.items()) {
      const auto digest = util::Digest::parse_hex(hex);
      if (!digest) return Failure{Fault::invalid, "a layer without a digest"};
      auto layer = read_layer(node);
      if (!layer) return layer.failure();
      made.layers.emplace(*digest, std::move(*layer));
    }
    return made;
  } catch (const json::exception& error) {
    return Failure{Fault::invalid, error.what()};
  }
}

}  // namespace swarmfs::swarm
