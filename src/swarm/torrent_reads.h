// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <functional>
#include <libtorrent/io_context.hpp>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "swarm/store_calls.h"
#include "swarm/torrent_layer.h"

namespace swarmfs::swarm {

/// What peers ask for a block at a time is read from the store a stretch at a time: they ask for
/// the next block next, and a disk gives many at once for little more than one. What was used last
/// is kept. Network thread, but what the store calls back.
class TorrentReads {
 public:
  static constexpr uint64_t kStretch = 256 * 1024;
  static constexpr uint64_t kMostKept = 16 << 20;
  using OnBytes = std::function<void(const util::Outcome<util::SharedBytes>&)>;

  /// `network` outlives it, and it what is posted there.
  TorrentReads(lt::io_context& network, std::shared_ptr<StoreCalls> calls)
      : network_(network), calls_(std::move(calls)) {}

  /// `range` lies in the layer. `on_bytes` is posted to the network thread. A layer that has lost
  /// what is asked for is set_broken().
  void read(const std::shared_ptr<TorrentLayer>& layer, util::ByteRange range, OnBytes on_bytes);
  /// Keeps nothing of the layer any more. What was asked for comes.
  void forget(const TorrentLayer& layer);
  [[nodiscard]] uint64_t kept() const { return used_.size() * kStretch; }

 private:
  /// A layer, and the number of the stretch in it.
  using Key = std::pair<const TorrentLayer*, uint64_t>;
  struct Wish {
    util::ByteRange part;  ///< of the stretch
    OnBytes on_bytes;
  };
  struct Stretch {
    std::shared_ptr<TorrentLayer> layer;  ///< no other one gets its address
    std::vector<Wish> wishes;             ///< while it is on its way
    bool here = false;
    bool forgotten = false;  ///< while it is on its way
    util::SharedBytes bytes;
    std::list<Key>::iterator used;  ///< if it is here
  };

  void load(const Key& key, const std::shared_ptr<TorrentLayer>& layer);
  void on_loaded(const Key& key, const util::Outcome<util::SharedBytes>& bytes);
  void keep(const Key& key, Stretch& stretch, const util::SharedBytes& bytes);
  /// What `then` is told runs on the network thread.
  void read_store(const std::shared_ptr<TorrentLayer>& layer, util::ByteRange range, OnBytes then);

  lt::io_context& network_;
  const std::shared_ptr<StoreCalls> calls_;
  std::map<Key, Stretch> stretches_;
  std::list<Key> used_;  ///< what is here, the latest first
};

}  // namespace swarmfs::swarm
