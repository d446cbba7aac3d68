// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <shared_mutex>

#include "chunk/store.h"
#include "content/layer_library.h"
#include "daemon/catalog.h"
#include "fetch/fetcher.h"
#include "registry/registry_client.h"
#include "swarm/holdings.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// What this node gives to its peers. It exists before that which it gives from: until connect()
/// and from disconnect() on it has nothing.
class PeerHoldings final : public swarm::Holdings {
 public:
  explicit PeerHoldings(util::Workers& workers) : workers_(workers) {}

  struct Parts {
    chunk::Store* store = nullptr;
    fetch::Fetcher* fetcher = nullptr;
    content::LayerLibrary* library = nullptr;
    Catalog* catalog = nullptr;
    registry::RegistryClient* registry = nullptr;
  };
  void connect(const Parts& parts);
  /// Returns when no call uses the parts any more.
  void disconnect();
  /// A layer and where it can be had, so that it can be fetched for others.
  void note(const chunk::LayerRef& layer);

  bool belongs(const util::Digest& layer, const std::string& repository) override;
  swarm::Access access(const std::string& repository) override;
  std::optional<swarm::HeldLayer> held(const util::Digest& layer) override;
  bool is_stored(const util::Digest& layer) override;
  util::Operation read(const util::Digest& layer, util::ByteRange range, bool fetch,
                       const chunk::FetchContext& context, OnRead on_read) override;
  util::Operation windows(const util::Digest& layer, const util::Digest& name,
                          util::ByteRange range, OnRead on_read) override;
  void published(const util::Digest& layer,
                 std::function<void(std::optional<swarm::PublishedLayer>)> callback) override;
  std::optional<swarm::ExchangedLayer> exchanged(const util::Digest& layer) override;
  void manifest(const std::string& reference, const std::string& platform,
                std::function<void(std::optional<swarm::HeldManifest>)> callback) override;
  std::map<std::string, swarm::RegistryWord> registries() override;
  void profile(const util::Digest& manifest,
               std::function<void(std::optional<std::string>)> callback) override;

 private:
  [[nodiscard]] bool stands(const util::Digest& layer, const util::Digest& root);
  /// `named`: with where it can be had, where nobody said that yet.
  [[nodiscard]] std::shared_ptr<fetch::Layer> open(const util::Digest& layer, bool named);

  util::Workers& workers_;
  std::shared_mutex connection_;  ///< shared while a call uses parts_
  Parts parts_;
  util::Sync<std::map<util::Digest, chunk::LayerRef>> refs_;
};

}  // namespace swarmfs::daemon
