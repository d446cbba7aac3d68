// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <libtorrent/settings_pack.hpp>

#include "swarm/torrent_session.h"

namespace swarmfs::swarm {

/// What libtorrent is told for an exchange among the nodes of one cluster; its limits are set by
/// TorrentRates. Pure.
lt::settings_pack torrent_settings(const TorrentOptions& options);

}  // namespace swarmfs::swarm
