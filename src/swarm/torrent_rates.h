// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <libtorrent/address.hpp>
#include <libtorrent/ip_filter.hpp>
#include <libtorrent/peer_class.hpp>
#include <libtorrent/session.hpp>
#include <set>
#include <string>
#include <vector>

#include "swarm/bulk_rates.h"

namespace swarmfs::swarm {

/// The limits of libtorrent's session: of all peers together, and of each. For the latter every
/// peer that was met is in one of the few classes that its filter knows; where more were met some
/// share the limit of one. Those that were not met share one, too. Network thread.
class TorrentRates {
 public:
  /// `session` outlives it.
  explicit TorrentRates(lt::session& session);

  void set(BulkRates rates);
  /// A literal address (another is passed over), before it connects, or we to it: a connection
  /// stays in the class it began with.
  void meet(const std::string& address);

 private:
  void limit(lt::peer_class_t peers, uint64_t upload, uint64_t download);

  lt::session& session_;
  std::vector<lt::peer_class_t> classes_;  ///< the last is of those that were not met
  std::set<lt::address> met_;
  lt::ip_filter filter_;
};

}  // namespace swarmfs::swarm
