// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <array>

#include "util/digest.h"

namespace swarmfs::swarm {

/// Under what a layer is found in the DHT. Who does not know the cluster's secret cannot tell it.
using DhtKey = std::array<std::byte, 20>;

/// The first 20 bytes of HMAC-SHA256(secret, the digest's 32 bytes).
DhtKey dht_key(util::ByteView secret, const util::Digest& layer);

}  // namespace swarmfs::swarm
