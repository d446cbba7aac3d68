// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_settings.h"

#include <netinet/ip.h>

#include <libtorrent/alert.hpp>

namespace swarmfs::swarm {

namespace {

using Pack = lt::settings_pack;

std::string torrent_interfaces(const TorrentOptions& options) {
  std::string text;
  for (const auto& endpoint : options.listen)
    text += (text.empty() ? "" : ",") + endpoint.to_string() + (options.tls ? "s" : "");
  return text;
}

/// Each switch that would talk to strangers, and what only strangers need.
void keep_to_members(Pack& settings) {
  for (const int off :
       {Pack::enable_dht, Pack::enable_lsd, Pack::enable_upnp, Pack::enable_natpmp,
        Pack::enable_incoming_utp, Pack::enable_outgoing_utp, Pack::enable_ip_notifier,
        Pack::listen_system_port_fallback, Pack::announce_to_all_trackers,
        Pack::close_redundant_connections, Pack::rate_limit_ip_overhead})
    settings.set_bool(off, false);
  settings.set_int(Pack::in_enc_policy, Pack::pe_disabled);
  settings.set_int(Pack::out_enc_policy, Pack::pe_disabled);
  settings.set_int(Pack::mixed_mode_algorithm, Pack::prefer_tcp);
  settings.set_int(Pack::max_retry_port_bind, 0);
  settings.set_str(Pack::user_agent, "");
}

/// Nobody is choked; little is unsent and little is asked for at once, so that faults are not stuck
/// behind bulk and a swarm of cold nodes does not ask everybody for the same.
void pace(Pack& settings) {
  settings.set_int(Pack::unchoke_slots_limit, -1);
  settings.set_int(Pack::num_optimistic_unchoke_slots, 0);
  settings.set_int(Pack::peer_turnover, 0);
  settings.set_bool(Pack::strict_end_game_mode, true);
  settings.set_int(Pack::predictive_piece_announce, 0);
  settings.set_int(Pack::suggest_mode, Pack::no_piece_suggestions);
  settings.set_int(Pack::max_out_request_queue, 128);
  settings.set_int(Pack::request_queue_time, 1);
  settings.set_int(Pack::send_buffer_watermark, 128 * 1024);
  settings.set_int(Pack::tick_interval, 100);
  settings.set_int(Pack::peer_dscp, IPTOS_CLASS_CS1);
}

void bound(Pack& settings) {
  settings.set_int(Pack::connections_limit, 800);
  settings.set_int(Pack::connection_speed, 500);
  settings.set_int(Pack::torrent_connect_boost, 100);
  settings.set_int(Pack::peer_connect_timeout, 2);
  settings.set_int(Pack::min_reconnect_time, 1);
  settings.set_int(Pack::max_peerlist_size, 200);
  settings.set_int(Pack::alert_queue_size, 1000);
  for (const int unlimited :
       {Pack::active_downloads, Pack::active_seeds, Pack::active_limit, Pack::active_checking})
    settings.set_int(unlimited, -1);
}

}  // namespace

lt::settings_pack torrent_settings(const TorrentOptions& options) {
  Pack settings;
  keep_to_members(settings);
  pace(settings);
  bound(settings);
  settings.set_str(Pack::listen_interfaces, torrent_interfaces(options));
  // So that a peer knows us by the address that we are known by.
  if (options.listen.size() == 1)
    settings.set_str(Pack::outgoing_interfaces, options.listen.front().address);
  settings.set_int(Pack::alert_mask, static_cast<int>(static_cast<uint32_t>(
                                         lt::alert_category::error | lt::alert_category::status |
                                         lt::alert_category::peer | lt::alert_category::connect)));
  return settings;
}

}  // namespace swarmfs::swarm
