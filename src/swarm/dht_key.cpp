// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/dht_key.h"

#include <algorithm>

namespace swarmfs::swarm {

DhtKey dht_key(util::ByteView secret, const util::Digest& layer) {
  const util::Digest code = util::hmac_sha256(secret, layer.bytes());
  DhtKey key;
  std::copy_n(code.bytes().begin(), key.size(), key.begin());
  return key;
}

}  // namespace swarmfs::swarm
