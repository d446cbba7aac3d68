// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "../swarm/free_port.h"
#include "cache/chunk_cache.h"
#include "members.h"
#include "swarm/bulk_lane.h"
#include "util/clock.h"

namespace swarmfs::torrent_test {

/// Public layers that come and go; nothing but their exchange is asked for. Any thread.
class SoakHoldings final : public swarm::Holdings {
 public:
  static constexpr const char* kRepository = "docker.io/library/soak";

  void put(swarm::ExchangedLayer layer) { (*layers_.lock())[layer.ref.digest] = std::move(layer); }
  void take_away(const util::Digest& layer) { layers_.lock()->erase(layer); }

  bool belongs(const util::Digest& layer, const std::string& repository) override {
    return repository == kRepository && layers_.lock()->contains(layer);
  }
  swarm::Access access(const std::string&) override { return {true, {}}; }
  std::optional<swarm::ExchangedLayer> exchanged(const util::Digest& layer) override {
    auto layers = layers_.lock();
    const auto found = layers->find(layer);
    if (found == layers->end()) return std::nullopt;
    return found->second;
  }

  std::optional<swarm::HeldLayer> held(const util::Digest&) override { return std::nullopt; }
  std::optional<swarm::HeldLayer> held(const swarm::NamedLayer&) override { return std::nullopt; }
  bool is_stored(const util::Digest&) override { return false; }
  util::Operation read(const swarm::NamedLayer&, util::ByteRange, bool, const chunk::FetchContext&,
                       OnRead) override {
    return {};
  }
  util::Operation windows(const swarm::NamedLayer&, const util::Digest&, util::ByteRange,
                          OnRead) override {
    return {};
  }
  void published(const swarm::NamedLayer&,
                 std::function<void(std::optional<swarm::PublishedLayer>)>) override {}
  void manifest(const std::string&, const std::string&,
                std::function<void(std::optional<swarm::HeldManifest>)>) override {}
  std::map<std::string, swarm::RegistryWord> registries() override { return {}; }
  void profile(const util::Digest&, const std::string&,
               std::function<void(std::optional<std::string>)>) override {}

 private:
  util::Sync<std::map<util::Digest, swarm::ExchangedLayer>> layers_;
};

/// A node's bulk lane over a cache on the disk, as the daemon has them, at an address of loopback
/// of its own.
struct SoakNode {
  SoakNode(const std::string& address, const cluster::Token& token,
           const std::filesystem::path& directory, uint64_t quota)
      : endpoint{address, swarm::free_port()},
        demand{address, static_cast<uint16_t>(endpoint.port + 1)},
        member(member_of(token)),
        cache({.directory = directory, .quota = quota}, timers, workers, metrics),
        lane(std::make_unique<swarm::BulkLane>(swarm::BulkOptions{{endpoint}, {}, "", false},
                                               holdings, table, views, timers, metrics,
                                               member.material, member.ca_pem)) {}
  ~SoakNode() { lane.reset(); }

  /// The other's answer to a question about the layer.
  void hear(SoakNode& other, const util::Digest& layer, uint64_t size) {
    table.add({other.demand});
    swarm::News news;
    news.layers[layer].size = size;
    news.layers[layer].sealed = true;
    news.layers[layer].bulk_port = other.lane->asked(layer, endpoint.address, "");
    views.heard(other.demand, SoakHoldings::kRepository, {layer}, news,
                std::chrono::steady_clock::now(), other.endpoint.address);
  }

  const swarm::Endpoint endpoint, demand;
  const Member member;
  util::Metrics metrics;
  util::SteadyClock clock;
  util::Timers timers;
  util::Workers workers{1};
  cache::ChunkCache cache;
  swarm::PeerTable table{"self", clock};
  swarm::LayerViews views;
  SoakHoldings holdings;
  std::unique_ptr<swarm::BulkLane> lane;
};

}  // namespace swarmfs::torrent_test
