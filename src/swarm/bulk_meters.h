// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "swarm/layer_traffic.h"
#include "util/metrics.h"

namespace swarmfs::swarm {

/// What the bulk lane counts.
struct BulkMeters {
  explicit BulkMeters(util::Metrics& metrics)
      : received(metrics.counter("swarmfs_bulk_bytes_total", kBytes, {{"direction", "received"}})),
        sent(metrics.counter("swarmfs_bulk_bytes_total", kBytes, {{"direction", "sent"}})),
        stored(metrics.counter("swarmfs_bulk_pieces_total", kPieces, {{"how", "received"}})),
        injected(metrics.counter("swarmfs_bulk_pieces_total", kPieces, {{"how", "injected"}})),
        lies(metrics.counter("swarmfs_bulk_lies_total",
                             "Wrong blocks that BitTorrent peers sent; each ends its sender")),
        torrents(metrics.gauge("swarmfs_bulk_torrents", "Layers in the BitTorrent exchange")) {}

  static constexpr const char* kBytes = "Bytes of layers exchanged by BitTorrent";
  static constexpr const char* kPieces =
      "Chunks that other nodes can have from us by BitTorrent: received so, or brought in "
      "otherwise";

  util::Metrics::Counter& received;
  util::Metrics::Counter& sent;
  util::Metrics::Counter& stored;
  util::Metrics::Counter& injected;
  util::Metrics::Counter& lies;
  util::Metrics::Gauge& torrents;
  LayerTraffic traffic;  ///< bytes received and sent, of each layer
};

}  // namespace swarmfs::swarm
