// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "support/scripted_peer.h"
#include "swarm/demand_client.h"
#include "swarm/layer_views.h"
#include "swarm/peer_table.h"
#include "util/metrics.h"
#include "util/timers.h"

namespace swarmfs::swarm {

/// A node of a cluster, asking; the members that it asks are scripted.
class DemandTest : public testing::Test {
 protected:
  using Peer = support::ScriptedPeer;
  using Then = Peer::Then;

  static constexpr const char* kRepository = "docker.io/library/nginx";
  static constexpr uint64_t kSize = 600 * 1024 + 777;  ///< three chunks, the last block short

  DemandTest() {
    const auto ours = ca_.issue("me");
    client_.set_tls({ours.certificate_pem, ours.key_pem, ca_.pem()});
  }

  static std::string content() {
    std::string made(kSize, '\0');
    for (size_t i = 0; i < made.size(); ++i) made[i] = static_cast<char>(i * 7 + (i >> 9));
    return made;
  }
  static std::string part(util::ByteRange range) {
    return content().substr(range.offset, range.length);
  }
  static util::ByteRange range_of(const Peer::Asked& asked) {
    const std::string text = asked.header("Range");
    const size_t dash = text.find('-');
    const uint64_t first = std::stoull(text.substr(6, dash - 6));
    return {first, std::stoull(text.substr(dash + 1)) + 1 - first};
  }
  /// 206, announced to be of `range`; the body may be another one.
  static Peer::Answer partial(util::ByteRange range, const std::string& body) {
    return {"HTTP/1.1 206 x\r\nContent-Range: bytes " + std::to_string(range.offset) + "-" +
            std::to_string(range.end() - 1) + "/" + std::to_string(kSize) +
            "\r\nContent-Length: " + std::to_string(range.length) + "\r\n\r\n" + body};
  }
  static Peer::Answer right(const Peer::Asked& asked) {
    return partial(range_of(asked), part(range_of(asked)));
  }
  static Peer::Answer says(std::string text, Then then) { return {std::move(text), then}; }

  Peer& peer(const std::string& name, Peer::Script script) {
    return peers_.emplace_back(ca_, name, std::move(script));
  }
  static Endpoint at(const Peer& peer) { return {"127.0.0.1", peer.port()}; }
  static LayerNews news(bool all, bool sealed = false) {
    LayerNews made{kSize, !all, sealed, BlockSet(chunk::block_count(kSize))};
    if (all) made.blocks.add({0, made.blocks.size()});
    return made;
  }
  /// We met it, and heard that it has all of the layer, or that it wants it.
  void know(const Peer& peer, const std::string& name, bool holds = true,
            const std::string& zone = "here") {
    views_.interest(layer_, std::chrono::steady_clock::now());
    table_.met(at(peer), name, zone);
    News said{zone, {{layer_.digest, news(holds)}}};
    views_.heard(at(peer), kRepository, {layer_.digest}, said, std::chrono::steady_clock::now());
  }

  const chunk::LayerRef layer_{
      util::Sha256::of(util::as_bytes(content())), kSize, {{"docker.io", "library/nginx"}}};
  support::Authority ca_{"cluster"};
  util::SteadyClock clock_;
  util::Metrics metrics_;
  Access access_;
  std::list<Peer> peers_;
  util::Timers timers_;
  PeerTable table_{"me", clock_};
  LayerViews views_;
  DemandClient client_{Asker{"here", 4711, [] { return std::string("me"); },
                             [this](const std::string&) { return access_; }},
                       table_};
};

}  // namespace swarmfs::swarm
