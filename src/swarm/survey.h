// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "chunk/layer_ref.h"
#include "swarm/block_set.h"
#include "swarm/demand_client.h"
#include "swarm/endpoint.h"
#include "util/digest.h"

namespace swarmfs::swarm {

/// A member that has, or wants, something of a layer.
struct SurveyedMember {
  Endpoint endpoint;
  std::string node_id;
  std::string zone;
  bool wants = false;
  bool sealed = false;
  BlockSet blocks;  ///< that it has, or has on their way from the registry
};

/// What members say of layers to somebody who looks.
struct Survey {
  static constexpr size_t kMostAsked = 64;

  size_t known = 0;     ///< peers that can be asked now
  size_t asked = 0;     ///< at most kMostAsked: of more those of our zone, and the fast ones
  size_t answered = 0;  ///< nodes, all that was asked of them
  std::map<util::Digest, std::vector<SurveyedMember>> members;  ///< each node once per layer
};

/// Asks now, whatever NewsRounds knows: of a layer that is whole here nobody is asked there. To ask
/// is no interest: who answers does not take us for a member. Blocks, for `patience` at most; not
/// on a callback's thread. `zone`: ours. Layers without an origin are not asked about; the others
/// in the first repository that they can be had from, and in the second by who refuses the first:
/// what a member knows in another only is not counted. A peer gets at most 16 questions, of up to
/// 128 layers in one repository each, and as many again in place of those that it refused.
Survey survey(DemandClient& client, const PeerTable& table, const std::string& zone,
              const std::vector<chunk::LayerRef>& layers, std::chrono::milliseconds patience);

}  // namespace swarmfs::swarm
