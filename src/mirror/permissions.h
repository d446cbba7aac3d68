// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <string>

#include "mirror/ledger.h"
#include "mirror/upstream.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// Who may read what of a repository is here: who could pull it. One question upstream per
/// repository and credential, believed for five minutes, and for an hour while the registry cannot
/// be asked; what was given to nobody in particular is then given to anybody. Credentials are
/// remembered as their hashes alone. Any thread.
class Permissions {
 public:
  static constexpr std::chrono::minutes kBelieved{5};
  static constexpr std::chrono::hours kInNeed{1};
  /// After a registry did not answer, before it is asked again.
  static constexpr std::chrono::seconds kSilence{3};
  static constexpr size_t kRemembered = 4096;

  Permissions(Upstream& upstream, Ledger& ledger, const util::Clock& clock)
      : upstream_(upstream), ledger_(ledger), clock_(clock) {}

  /// Of a manifest of the repository, which need not be that which is wanted.
  Permission check(const oci::Reference& reference, const std::string& authorization,
                   util::SteadyTime deadline);
  /// By a member's word, who gives only what is public.
  void grant(const oci::Reference& reference, const std::string& authorization);

  /// The credential may serve no more: when it comes again, the registry is asked about it again.
  void doubt(const oci::Reference& reference, const std::string& authorization);

  /// The registry did not answer a moment ago.
  [[nodiscard]] bool silent(const std::string& registry) const;
  void fell_silent(const std::string& registry);

 private:
  using Key = std::pair<std::string, util::Digest>;  ///< repository, hash of the header
  static Key key(const oci::Reference& reference, const std::string& authorization);
  [[nodiscard]] bool remembered(const Key& key, util::Duration age) const;
  void remember(const Key& key);
  Permission in_need(const oci::Reference& reference, const Key& key) const;

  Upstream& upstream_;
  Ledger& ledger_;
  const util::Clock& clock_;
  util::Sync<std::map<Key, util::SteadyTime>> granted_;
  util::Sync<std::map<std::string, util::SteadyTime>> silent_;
};

}  // namespace swarmfs::mirror
