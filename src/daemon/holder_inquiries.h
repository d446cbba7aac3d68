// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <map>
#include <string>

#include "content/layer_library.h"
#include "daemon/catalog.h"
#include "fetch/fetcher.h"
#include "registry/registry_client.h"
#include "util/clock.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// Asks repositories, with this node's credentials, whether they hold layers that are here from
/// elsewhere: for one checked block of our choice (fetch::HeldBlock), and tells the catalog. One
/// after the other, on a thread of its own. Any thread.
class HolderInquiries {
 public:
  static constexpr std::chrono::minutes kPause{1};  ///< between two about one layer
  static constexpr size_t kRemembered = 4096;
  static constexpr unsigned kWaiting =
      64;  ///< questions; what is more is asked when it is due again

  HolderInquiries(Catalog& catalog, chunk::Store& store, content::LayerLibrary& library,
                  fetch::Fetcher& fetcher, registry::RegistryClient& registry)
      : catalog_(catalog),
        store_(store),
        library_(library),
        fetcher_(fetcher),
        registry_(registry) {}
  /// Waits for the question under way, five seconds at most.
  ~HolderInquiries() { stopping_ = true; }
  HolderInquiries(const HolderInquiries&) = delete;
  HolderInquiries& operator=(const HolderInquiries&) = delete;

  /// Unless it is known, or was asked a moment ago. Never waits.
  void ask(const util::Digest& layer, const std::string& repository);

 private:
  using Key = std::pair<util::Digest, std::string>;  ///< layer, repository
  [[nodiscard]] bool is_due(const Key& key);
  /// Empty: there is nothing to ask it for.
  util::Outcome<std::optional<fetch::HeldBlock>> block_of(const util::Digest& layer,
                                                          const std::string& repository);
  void inquire(const util::Digest& layer, const std::string& repository);

  Catalog& catalog_;
  chunk::Store& store_;
  content::LayerLibrary& library_;
  fetch::Fetcher& fetcher_;
  registry::RegistryClient& registry_;
  std::atomic<bool> stopping_{false};
  std::atomic<unsigned> waiting_{0};
  util::Sync<std::map<Key, util::SteadyTime>> asked_;
  util::Workers worker_{1};  ///< last: its jobs use the rest
};

}  // namespace swarmfs::daemon
