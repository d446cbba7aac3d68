// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/info_dict.h"

#include <fmt/format.h>

namespace swarmfs::swarm {

namespace {

std::string bencoded(std::string_view text) {
  return fmt::format("{}:{}", text.size(), text);
}

std::string_view raw(const util::Digest& digest) {
  return util::as_text(digest.bytes());
}

}  // namespace

std::string info_dict(const util::Digest& layer, const chunk::HashTree& tree,
                      std::string_view ca_pem) {
  const std::string name = bencoded(layer.to_string());
  // Keys in the order of their bytes: BEP 3.
  std::string made = fmt::format(
      "d9:file treed{}d0:d6:lengthi{}e11:pieces root{}eee12:meta versioni2e4:name{}12:piece "
      "lengthi{}e",
      name, tree.size(), bencoded(raw(tree.root())), name, chunk::chunk_size(tree.size()));
  if (!ca_pem.empty()) made += "8:ssl-cert" + bencoded(ca_pem);
  return made + "e";
}

util::Digest info_hash(std::string_view info) {
  return util::Sha256::of(util::as_bytes(info));
}

std::string metainfo(std::string_view info, const chunk::HashTree& tree) {
  std::string layer;
  for (const auto& hash : tree.piece_layer()) layer += raw(hash);
  std::string made = fmt::format("d4:info{}", info);
  if (!layer.empty())
    made += fmt::format("12:piece layersd{}{}e", bencoded(raw(tree.root())), bencoded(layer));
  return made + "e";
}

}  // namespace swarmfs::swarm
