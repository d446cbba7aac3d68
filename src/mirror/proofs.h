// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunk/block.h"
#include "fetch/fetcher.h"
#include "mirror/document.h"
#include "mirror/ledger.h"
#include "mirror/upstream.h"
#include "util/clock.h"
#include "util/once.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// Opens blobs in the name of a repository that a caller may read. Anybody can run a registry that
/// names a private layer of others by digest and size; so what is here of a blob is given only in
/// the name of a repository that it belongs to:
/// * all of it came in that name alone, or in those of public ones too, and was right (came_whole);
/// * or it proved so: it gave to a caller a block that is here and was checked, or, where it knows
///   no ranges, all of the blob (gave_all);
/// * or that is true of a repository that is public: anybody may have the blob then.
/// This is kept in the ledger; of a blob that no manifest names, for as long as a permission. A
/// blob of which nothing is here comes from the repository itself, for it alone. Who asks for what
/// does not belong to the repository is sent there.
///
/// Which block is asked for depends on the blob and a secret of this process: who knows some of a
/// layer cannot ask again until it is a block that he knows. Any thread; blocking.
class Proofs {
 public:
  static constexpr size_t kRemembered = 4096;

  Proofs(Upstream& upstream, fetch::Fetcher& fetcher, Ledger& ledger, const util::Clock& clock);

  struct Opened {
    /// Null: what is here of it comes in another name, and is not checked yet, or the repository's
    /// registry knows no ranges. Past the cache then, for what it gives the caller is his.
    std::shared_ptr<fetch::Layer> blob;
    bool alone = false;  ///< only while it is may_go_on() may it be given
  };
  /// `blob`: with the repository as its only origin. Fault::unavailable: the registry did not say;
  /// any other: the caller has to ask it itself. Throws what Fetcher::open throws.
  util::Outcome<Opened> open(const chunk::LayerRef& blob, const std::string& authorization,
                             util::SteadyTime deadline);
  /// Of what was opened alone: whether what is here still came in that name, or public ones.
  [[nodiscard]] bool may_go_on(const fetch::Layer& blob, const chunk::Origin& origin) const;
  /// All of a blob that was opened alone was given, and matched its digest.
  void came_whole(const fetch::Layer& blob, const chunk::Origin& origin);
  /// To a caller, past the cache, and it matched its digest.
  void gave_all(const chunk::LayerRef& blob);

 private:
  using Key = std::pair<std::string, util::Digest>;  ///< repository, blob
  using Question = std::pair<Key, util::Digest>;     ///< and the hash of the header
  using Held = fetch::HeldBlock;

  [[nodiscard]] bool belongs(const Key& key) const;
  /// Whether each of the names is this one, or public.
  [[nodiscard]] bool are_open(const std::set<chunk::Origin>& names,
                              const chunk::Origin& origin) const;
  /// Where something of it came, in the repository's name or public ones and no other; else null.
  std::shared_ptr<fetch::Layer> open_if_came_so(const chunk::LayerRef& blob);
  void remember(const Key& key);
  /// The block to be asked for; empty: nothing of the blob is here that was checked. A Failure: it
  /// cannot be read.
  util::Outcome<std::optional<Held>> held_block(const chunk::LayerRef& blob);
  /// All of it that was never hashed, since its pull was broken off: it is now, for who asks next.
  void have_checked(const chunk::LayerRef& blob);
  util::Outcome<util::Done> prove(const chunk::LayerRef& blob, const Held& held,
                                  const std::string& authorization, util::SteadyTime deadline);
  void tell(const Key& key, const util::Failure& failure);

  Upstream& upstream_;
  fetch::Fetcher& fetcher_;
  Ledger& ledger_;
  const util::Clock& clock_;
  util::Sync<std::map<Key, util::SteadyTime>> proven_;  ///< of blobs that no manifest names
  util::Once<Question, util::Done> asking_;             ///< one for all who ask it at once
  util::Sync<std::set<Key>> told_;
};

}  // namespace swarmfs::mirror
