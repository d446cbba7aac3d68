// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <set>

#include "content/layer_library.h"
#include "daemon/catalog.h"
#include "daemon/cluster_node.h"
#include "daemon/manifests.h"
#include "fetch/fetcher.h"
#include "mirror/upstream.h"
#include "registry/registry_client.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// What the mirror needs, from the registries, the catalog, the cluster and the layer library. What
/// passed as a whole is hashed and indexed on a thread of low priority, as a pull does; claims are
/// settled on another.
class MirrorUpstream final : public mirror::Upstream {
 public:
  struct Parts {
    registry::RegistryClient& registry;
    chunk::Store& store;
    Catalog& catalog;
    Manifests& manifests;
    content::LayerLibrary& library;
    fetch::Fetcher& fetcher;
    ClusterNode* node;  ///< null: no cluster
  };
  explicit MirrorUpstream(Parts parts) : parts_(parts) {}
  ~MirrorUpstream() override { stop(); }
  /// What an earlier run brought in whole and did not get to hash, as complete(), but after all
  /// that comes meanwhile. Once, at the start.
  void resume();
  /// Ends what waits for bytes; the fetcher must be ended before the destructor.
  void stop() { stopping_ = true; }

  mirror::Permission ask(const oci::Reference& reference, const std::string& authorization,
                         util::SteadyTime deadline) override;
  bool known_public(const oci::Reference& reference) override;
  bool has_credentials(const oci::Reference& reference) override;
  util::Outcome<mirror::Document> manifest(const oci::Reference& reference,
                                           const std::string& authorization,
                                           util::SteadyTime deadline) override;
  void lend(const oci::Reference& reference, const std::string& authorization) override;
  std::optional<mirror::Document> from_members(const oci::Reference& reference) override;
  util::Outcome<http::Response> relay(const mirror::Route& route, const std::string& method,
                                      const std::string& query, const http::Headers& headers,
                                      util::SteadyTime deadline) override;
  util::Outcome<util::Bytes> bytes_of(const oci::Reference& blob, util::ByteRange range,
                                      const std::string& authorization, chunk::Class cls,
                                      util::SteadyTime deadline) override;
  std::unique_ptr<chunk::Transfer> front_of(const oci::Reference& blob, uint64_t end,
                                            const std::string& authorization,
                                            chunk::Source::OnData on_data,
                                            chunk::Source::OnDone on_done) override;
  void learnt(const oci::Reference& reference, const mirror::Document& document,
              mirror::Word word) override;
  void gave(const oci::Reference& reference, const mirror::Document& document,
            mirror::Word word) override;
  void showed(const std::string& repository, const util::Digest& blob) override;
  std::shared_ptr<const void> opened(const chunk::LayerRef& blob) override;
  std::shared_ptr<const void> claimed(const chunk::LayerRef& blob,
                                      const std::string& media_type) override;
  bool dispute(const chunk::LayerRef& blob) override;
  void disprove(const chunk::LayerRef& blob) override;
  void complete(const chunk::LayerRef& blob, const std::string& media_type) override;

 private:
  /// An index that was given out by tag, until one of its manifests is asked for.
  struct Choice {
    oci::Reference reference;
    oci::Platform platform;
    std::shared_ptr<const util::Bytes> index;
    mirror::Word word;  ///< that the index is
    util::SteadyTime at;
  };
  using Choices = std::map<std::pair<std::string, util::Digest>, Choice>;

  mirror::Permission ask_for_nobody(const oci::Reference& reference, util::SteadyTime deadline);
  /// As bytes_of() has it.
  registry::GetOrder order_for(const oci::Reference& blob, util::ByteRange range,
                               const std::string& authorization, chunk::Class cls);
  /// Into the catalog.
  void take_in(const oci::Reference& reference, const oci::Platform& platform,
               const image::Resolved& resolved, mirror::Word word);
  std::optional<Choice> take_choice(const std::string& repository, const util::Digest& manifest);
  void note_index(const oci::Reference& reference, const mirror::Document& document,
                  const oci::Index& index, mirror::Word word);
  /// At low priority: clients unpack what passed at the same time.
  static void post(util::Workers& to, const util::Digest& layer, std::function<void()> job,
                   util::Workers::Urgency urgency = util::Workers::Urgency::urgent);
  void finish_left(const util::Digest& digest);
  void finish(const chunk::LayerRef& blob);
  bool bring_rest(const std::shared_ptr<fetch::Layer>& layer);

  const Parts parts_;
  std::atomic<bool> stopping_{false};
  util::Sync<Choices> choices_;
  util::Sync<std::set<util::Digest>> finishing_;
  util::Workers asking_{2};  ///< members, which may take a while
  /// Of their own, for a settlement takes as long as the registry does. Last: their jobs use the
  /// rest.
  util::Workers finishers_{1}, settlements_{1};
};

}  // namespace swarmfs::daemon
