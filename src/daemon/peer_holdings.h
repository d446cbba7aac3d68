// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <set>
#include <shared_mutex>

#include "chunk/store.h"
#include "content/layer_library.h"
#include "daemon/catalog.h"
#include "daemon/holder_inquiries.h"
#include "fetch/fetcher.h"
#include "registry/registry_client.h"
#include "swarm/holdings.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// What this node gives to its peers. It exists before that which it gives from: until connect()
/// and from disconnect() on it has nothing.
///
/// In a repository's name it gives the bytes of a layer that was shown to be its, or a public one's
/// (Catalog), or of which all that is here came in that name and those of public ones; documents
/// and windows of the former, or where the claim that they are of was found in those names.
class PeerHoldings final : public swarm::Holdings {
 public:
  explicit PeerHoldings(util::Workers& workers) : workers_(workers) {}

  struct Parts {
    chunk::Store* store = nullptr;
    fetch::Fetcher* fetcher = nullptr;
    content::LayerLibrary* library = nullptr;
    Catalog* catalog = nullptr;
    HolderInquiries* inquiries = nullptr;
    registry::RegistryClient* registry = nullptr;
  };
  void connect(const Parts& parts);
  /// Returns when no call uses the parts any more.
  void disconnect();
  /// A layer and where it can be had, so that it can be fetched for others. Where it is here from
  /// elsewhere that repository is asked whether it holds it.
  void note(const chunk::LayerRef& layer);
  /// Its index and hash tree are by a claim that was found in these names.
  void claimed(const chunk::LayerRef& layer);
  /// All of it is here and right: its index and hash tree are of these bytes.
  void proven(const fetch::Layer& layer);

  bool belongs(const util::Digest& layer, const std::string& repository) override;
  swarm::Access access(const std::string& repository) override;
  std::optional<swarm::HeldLayer> held(const util::Digest& layer) override;
  std::optional<swarm::HeldLayer> held(const swarm::NamedLayer& layer) override;
  bool is_stored(const util::Digest& layer) override;
  util::Operation read(const swarm::NamedLayer& layer, util::ByteRange range, bool fetch,
                       const chunk::FetchContext& context, OnRead on_read) override;
  bool may_relay() override;
  util::Operation windows(const swarm::NamedLayer& layer, const util::Digest& name,
                          util::ByteRange range, OnRead on_read) override;
  void published(const swarm::NamedLayer& layer,
                 std::function<void(std::optional<swarm::PublishedLayer>)> callback) override;
  std::optional<swarm::ExchangedLayer> exchanged(const util::Digest& layer) override;
  void manifest(const std::string& reference, const std::string& platform,
                std::function<void(std::optional<swarm::HeldManifest>)> callback) override;
  std::map<std::string, swarm::RegistryWord> registries() override;
  void profile(const util::Digest& manifest, const std::string& repository,
               std::function<void(std::optional<std::string>)> callback) override;

 private:
  [[nodiscard]] bool stands(const util::Digest& layer, const util::Digest& root);
  // While the connection is held.
  [[nodiscard]] std::shared_ptr<fetch::Layer> open(const util::Digest& layer);
  [[nodiscard]] std::shared_ptr<fetch::Layer> open_named(const swarm::NamedLayer& layer);
  [[nodiscard]] swarm::HeldLayer look(const fetch::Layer& layer);
  /// Where not, the repository is asked.
  [[nodiscard]] bool may_give(const fetch::Layer& layer, const std::string& repository);
  [[nodiscard]] bool may_give_documents(const swarm::NamedLayer& layer);
  [[nodiscard]] bool is_anybodys(const fetch::Layer& layer);
  /// Of what came in that name: who joins meanwhile in another may have brought it.
  [[nodiscard]] OnRead guarded(std::shared_ptr<fetch::Layer> layer, const std::string& repository,
                               OnRead on_read) const;

  util::Workers& workers_;
  std::shared_mutex connection_;  ///< shared while a call uses parts_
  Parts parts_;
  /// By layer and repository: the size that its manifest says.
  util::Sync<std::map<std::pair<util::Digest, std::string>, uint64_t>> noted_;
  util::Sync<std::map<util::Digest, std::set<chunk::Origin>>> claimed_;
};

}  // namespace swarmfs::daemon
