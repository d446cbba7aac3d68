// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

namespace swarmfs::http {

/// Says to queues on the way, ours and the network's, whether a socket's packets are bulk (DSCP
/// CS1, the scavenger class of RFC 3662) or what a reader waits for (AF21, RFC 4594: low-latency
/// data). Where nobody heeds it, nothing changes.
void mark_traffic(int socket, bool bulk);

}  // namespace swarmfs::http
