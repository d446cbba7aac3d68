// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_rates.h"

#include <algorithm>
#include <limits>

namespace swarmfs::swarm {

namespace {

/// Of 32 that a filter knows libtorrent makes three.
constexpr size_t kClasses = 29;
constexpr size_t kMostMet = 4096;

/// libtorrent counts in int.
int limit_of(uint64_t bytes_per_second) {
  return static_cast<int>(std::min<uint64_t>(bytes_per_second, std::numeric_limits<int>::max()));
}

/// Of a peer in this class, and in that of all. Libtorrent's own filter has none of all: private
/// addresses are left out.
uint32_t flags(lt::peer_class_t of) {
  return 1U << static_cast<uint32_t>(lt::session::global_peer_class_id) |
         1U << static_cast<uint32_t>(of);
}

}  // namespace

TorrentRates::TorrentRates(lt::session& session) : session_(session) {
  while (classes_.size() < kClasses) classes_.push_back(session.create_peer_class("peers"));
  for (const auto& [first, last] : {std::pair("0.0.0.0", "255.255.255.255"),
                                    std::pair("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")})
    filter_.add_rule(lt::make_address(first), lt::make_address(last), flags(classes_.back()));
  session.set_peer_class_filter(filter_);
}

void TorrentRates::set(BulkRates rates) {
  limit(lt::session::global_peer_class_id, rates.upload, rates.download);
  for (const auto peers : classes_) limit(peers, rates.upload_per_peer, rates.download_per_peer);
}

void TorrentRates::limit(lt::peer_class_t peers, uint64_t upload, uint64_t download) {
  auto info = session_.get_peer_class(peers);
  info.ignore_unchoke_slots = true;
  info.upload_limit = limit_of(upload);
  info.download_limit = limit_of(download);
  session_.set_peer_class(peers, info);
}

void TorrentRates::meet(const std::string& text) {
  lt::error_code error;
  const auto address = lt::make_address(text, error);
  if (error || met_.size() >= kMostMet || met_.contains(address)) return;
  filter_.add_rule(address, address, flags(classes_[met_.size() % (classes_.size() - 1)]));
  met_.insert(address);
  session_.set_peer_class_filter(filter_);
}

}  // namespace swarmfs::swarm
