// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "swarm/block_set.h"
#include "swarm/endpoint.h"
#include "util/digest.h"
#include "util/outcome.h"

namespace swarmfs::swarm {

/// What a node tells of one layer. Its blocks are a hint: they may be evicted before they are asked
/// for.
struct LayerNews {
  uint64_t size = 0;
  bool wants = false;   ///< it is bringing the layer in, so it owns shares
  bool sealed = false;  ///< it has claim, hash tree, index and all its windows to give
  BlockSet blocks;      ///< that it has, or has on their way from the registry
  std::vector<chunk::BlockRange> coming{};  ///< of these: on their way
  /// Literal, by node id: that it knows of, the asker and itself left out.
  std::map<std::string, Endpoint> shareholders{};
  uint16_t bulk_port = 0;  ///< where it exchanges the layer by BitTorrent; 0: it does not
  /// All of `asked`, and not only on their way.
  [[nodiscard]] bool has_here(chunk::BlockRange asked) const;
  bool operator==(const LayerNews&) const = default;
};

/// The answer to GET /v1/layers.
struct News {
  std::string zone;
  std::map<util::Digest, LayerNews> layers;
  bool full = false;  ///< it gives as much bulk as it can, now
  /// Bytes per second that come to it at most (util::LinkGauge::known); 0: it cannot say.
  uint64_t link = 0;

  /// {"zone":"a","full":true,"link":12500000,"layers":{"<hex>":{"size":N,"wants":true,"sealed":false,"blocks":"<base64>",
  /// "coming":[[first,count],…],"shareholders":{"<node id>":"10.0.0.3:7946"},"bulk_port":7950}}};
  /// without "coming" there are none, without "bulk_port" it is 0, without "full" it is not,
  /// without "link" that is 0. `by_runs`: "runs":[N,…] (BlockSet::runs) may take the place of
  /// "blocks", where it is shorter.
  [[nodiscard]] std::string to_json(bool by_runs = false) const;
  /// Failure (invalid): not such a text; a zone of more than 63 characters, a layer of more than
  /// 1 TiB (all by runs: 64 GiB), more than 256 layers, or more than 32 shareholders or 256 ranges
  /// on their way of one. Pure.
  static util::Outcome<News> parse(std::string_view text);
};

}  // namespace swarmfs::swarm
