// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "chunk/hash_tree.h"
#include "util/digest.h"

namespace swarmfs::swarm {

/// BEP 52 info dict (v2 only, one file) of a layer's torrent: a pure function of its arguments, so
/// that all who hold the layer meet in one swarm. Pieces are chunks. `ca_pem`: of the CA that all
/// members' certificates come from; not empty makes it an SSL torrent.
std::string info_dict(const util::Digest& layer, const chunk::HashTree& tree,
                      std::string_view ca_pem);

/// The swarm's id: SHA-256 of the info dict.
util::Digest info_hash(std::string_view info);

/// A whole .torrent: the info dict and the piece layer.
std::string metainfo(std::string_view info, const chunk::HashTree& tree);

}  // namespace swarmfs::swarm
