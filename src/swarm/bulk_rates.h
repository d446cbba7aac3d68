// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>

namespace swarmfs::swarm {

/// What bulk may take, in bytes per second; 0: no limit.
struct BulkRates {
  uint64_t upload = 0;    ///< to all peers together
  uint64_t download = 0;  ///< from all peers together
  uint64_t upload_per_peer = 0;
  uint64_t download_per_peer = 0;
};

}  // namespace swarmfs::swarm
