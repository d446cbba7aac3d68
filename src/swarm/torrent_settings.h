// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <libtorrent/settings_pack.hpp>

#include "swarm/torrent_session.h"

namespace swarmfs::swarm {

/// What libtorrent is told for an exchange among the nodes of one cluster. Pure.
lt::settings_pack torrent_settings(const TorrentOptions& options);

/// libtorrent's limit: 0 is none, and it counts in int.
int torrent_rate(uint64_t bytes_per_second);

}  // namespace swarmfs::swarm
