// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <vector>

#include "swarm/endpoint.h"

namespace swarmfs::swarm {

/// All A and AAAA records of a name, in their one form; empty when it cannot be told now. Blocks,
/// with a name server that does not answer for some seconds per server.
std::vector<std::string> resolve_name(const std::string& name);

/// "0.0.0.0" and "::" replaced by the addresses of all interfaces that are up, without loopback and
/// link-local ones; other endpoints as they are. Throws util::SysError.
std::vector<Endpoint> expand_wildcards(const std::vector<Endpoint>& listen);

}  // namespace swarmfs::swarm
