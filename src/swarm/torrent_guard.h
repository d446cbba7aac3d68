// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <libtorrent/extensions.hpp>
#include <memory>
#include <string>

#include "swarm/torrent_layer.h"

namespace swarmfs::swarm {

/// What the guards of one session share. Network thread.
class TorrentWatch {
 public:
  virtual ~TorrentWatch() = default;
  /// Whether connections of that address are to be ended at once.
  [[nodiscard]] virtual bool is_banned(const std::string& address) const = 0;
  /// The torrent takes part from now on.
  virtual void started(const std::shared_ptr<TorrentLayer>& layer) = 0;
  virtual void lied(const TorrentLayer& layer, const std::string& address,
                    const std::string& why) = 0;
  /// It asks for more than anybody can want.
  virtual void flooded(const std::string& address) = 0;
};

/// Stands between libtorrent and the peers of one torrent: compares every block with the leaf layer
/// before libtorrent sees it. A wrong one ends its sender. That keeps libtorrent 2.0.8 from ever
/// failing a piece, after which any peer could make it write past its heap (hash_picker); and each
/// lie has one liar. Ends who asks for hashes or gives some, and who asks for no end of blocks.
/// Notes who has what. Network thread. `watch` outlives the session.
std::shared_ptr<lt::torrent_plugin> make_torrent_guard(std::shared_ptr<TorrentLayer> layer,
                                                       TorrentWatch& watch);

}  // namespace swarmfs::swarm
