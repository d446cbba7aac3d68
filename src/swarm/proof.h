// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "swarm/holdings.h"

namespace swarmfs::swarm {

/// How a node shows another that it may pull from a repository, without a credential leaving it
/// and with the registry down: it knows the bytes of a manifest and of its config, which the
/// registry gives only to who may pull. "<manifest hex>:<hex of HMAC-SHA256(secret, text)>", where
/// the text names both nodes and the repository: worthless to anybody else, for anything else. One
/// for each of at most eight manifests, with commas between, since the other side may know only
/// some of them. Empty: `access` knows no secret.
std::string make_proof(const Access& access, std::string_view server, std::string_view asker,
                       std::string_view repository);
/// Whether one of the proofs in the text is of a manifest that `access` knows. Takes the same time
/// wherever a wrong one differs.
bool proves(std::string_view proof, const Access& access, std::string_view server,
            std::string_view asker, std::string_view repository);

}  // namespace swarmfs::swarm
