// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "chunk/source.h"
#include "swarm/torrent_session.h"
#include "util/workers.h"

namespace swarmfs::swarm {

/// Whole chunks of sealed layers from the BitTorrent exchange, for pulls and backfill: those that a
/// connected peer has. Nobody's fault waits for it. See chunk::Source.
class TorrentSource final : public chunk::Source {
 public:
  using Look = std::function<void(const std::shared_ptr<TorrentLayer>&)>;
  /// Calls with the exchanged layer, if it is one, while that cannot go. Any thread; a leaf.
  using Find = std::function<void(const util::Digest&, const Look&)>;

  /// `deliveries`: that of the layers. Both outlive the transfers.
  TorrentSource(Find find, TorrentSession& session, util::Workers& deliveries)
      : find_(std::move(find)), session_(session), deliveries_(deliveries) {}

  [[nodiscard]] chunk::SourceKind kind() const override { return chunk::SourceKind::peer; }
  [[nodiscard]] std::string name() const override { return "bulk"; }
  [[nodiscard]] std::optional<chunk::Plan> plan(const chunk::LayerRef& layer, util::ByteRange range,
                                                const chunk::FetchContext& context) override;
  [[nodiscard]] bool has(const chunk::LayerRef& layer, util::ByteRange range) override;
  [[nodiscard]] std::unique_ptr<chunk::Transfer> fetch(const chunk::LayerRef& layer,
                                                       util::ByteRange range,
                                                       const chunk::FetchContext& context,
                                                       OnData on_data, OnDone on_done) override;

 private:
  const Find find_;
  TorrentSession& session_;
  util::Workers& deliveries_;
};

}  // namespace swarmfs::swarm
