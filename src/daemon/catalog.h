// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunk/layer_ref.h"
#include "chunk/store.h"
#include "daemon/repository.h"
#include "image/image_library.h"
#include "swarm/holdings.h"
#include "util/clock.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::daemon {

/// What the catalog asks a registry for. Blocking; one thread at a time.
class Inquiries {
 public:
  virtual ~Inquiries() = default;
  /// Whether the registry may have given us what it gave for who we are.
  [[nodiscard]] virtual bool has_credentials(const oci::Reference& reference) = 0;
  /// Done: it gives the manifest to nobody in particular. Fault::denied, not_found: it does not.
  /// Anything else: it did not say.
  virtual util::Outcome<util::Done> ask_as_nobody(const oci::Reference& reference) = 0;
  virtual util::Outcome<util::Bytes> config(const oci::Reference& reference,
                                            const oci::Descriptor& descriptor) = 0;
};

/// What this node knows of repositories ("docker.io/library/nginx"), for swarm::Holdings: which
/// manifests were resolved here, which layers they name, who may have them. Kept in the store's
/// documents "repository/…" and bounded: the newest repositories, and of each the newest manifests.
/// Any thread; nothing here waits for a disk or a registry but a worker of the catalog's own.
///
/// A repository is public when a manifest of it was given to nobody in particular: it was resolved
/// while no credentials existed for it, or the registry gave one when it was asked without them.
/// That is believed for an hour, and asked again by then where somebody still wants to know.
///
/// A manifest can name any layer, also a private one of others that is here. So that one names it
/// says what a layer may be called (belongs()), and nothing of whose bytes these are. They are a
/// repository's when
/// * all of them came in that name alone, or in those of public ones too, and matched the digest:
///   from its registry, or from members, who give nothing in a name that it does not belong to, and
///   who have the bytes anyway where they lie; or out of containerd's store, which gives a layer to
///   whoever has it pull a manifest that names it;
/// * or it gave a block of our choice, to us (HolderInquiries) or to a client of the mirror.
/// That is kept beside the manifests. What belongs so to a public repository anybody may have.
class Catalog {
 public:
  static constexpr std::chrono::hours kBelieved{1};
  static constexpr std::chrono::minutes kRenewed{50};  ///< of an hour's belief
  static constexpr std::chrono::minutes kPause{1};     ///< between inquiries that peers cause
  static constexpr size_t kRepositories = 1024;

  /// `clustered`: peers exist; without them no registry is asked, and nothing is ever public. The
  /// others must outlive the catalog. The wall clock counts as well: what was found before a
  /// restart ages.
  Catalog(chunk::Store& store, Inquiries& inquiries, const util::Clock& clock, bool clustered);
  /// Waits for the inquiry under way.
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  /// After each resolve. `hearsay_public`: a member told us and says whether the repository is
  /// public; empty: the registry told us. A member is believed only where we have no credentials
  /// for the repository (there is nothing then that others may not have) and never found it closed;
  /// and not where it names a layer that is here from elsewhere, and not of a public repository:
  /// its word would open it.
  void resolved(const oci::Reference& reference, const oci::Platform& platform,
                const image::Resolved& resolved, std::optional<bool> hearsay_public = {});
  /// A container runtime of this node pulled it, with whatever credentials: whether the repository
  /// is public its registry is asked. False: the word does not count, where a layer is here only
  /// from private repositories of other registries; who runs this one may not have it. `config`:
  /// the image's, where it is known. `elsewhere`: layers that are known to be from other registries
  /// too, whether they are here or not.
  bool found(const oci::Reference& reference, const oci::Platform& platform,
             const image::Resolved& resolved, const std::optional<util::Bytes>& config,
             const std::vector<util::Digest>& elsewhere = {});

  /// All of the layer came in these names, and was right.
  void came(const util::Digest& layer, const std::set<chunk::Origin>& names);
  /// The repository showed that it holds the layer.
  void showed(const util::Digest& layer, const std::string& repository);
  /// Whether the layer was shown to be the repository's, or a public one's.
  [[nodiscard]] bool is_shown(const util::Digest& layer, const std::string& repository) const;
  /// Whether each of the names is the repository, or public.
  [[nodiscard]] bool are_open(const std::set<chunk::Origin>& names,
                              const std::string& repository) const;
  /// As a manifest of the repository says; empty: none names the layer.
  [[nodiscard]] std::optional<uint64_t> size_of(const util::Digest& layer,
                                                const std::string& repository) const;

  /// What manifests name as layers and the store has something of.
  [[nodiscard]] std::set<util::Digest> stored_layers() const;
  [[nodiscard]] bool names_manifest(const util::Digest& manifest,
                                    const std::string& repository) const;

  /// See swarm::Holdings for these three. manifest() gives what the registry said, not a member.
  [[nodiscard]] bool belongs(const util::Digest& layer, const std::string& repository) const;
  [[nodiscard]] swarm::Access access(const std::string& repository);
  [[nodiscard]] std::optional<swarm::HeldManifest> manifest(const std::string& reference,
                                                            const std::string& platform) const;

 private:
  /// Whose answers since the last inquiries speak for a repository that anybody may have.
  enum class Word { nobody, member, registry };
  struct Entry {
    Repository repository;
    std::optional<util::SteadyTime> found;     ///< when the verdict was; empty: too long ago
    std::optional<util::SteadyTime> attended;  ///< when inquiries were last ordered
    uint64_t touched = 0;                      ///< grows with each resolve
    Word word = Word::nobody;
    bool by_member = false;  ///< the verdict is a member's
    bool dirty = false;      ///< differs from its document
  };
  using Entries = std::map<std::string, Entry>;

  struct Told {
    std::optional<bool> hearsay_public;
    std::string registry{};  ///< whose other repositories may share its layers
    std::optional<util::Bytes> config{};
    std::vector<util::Digest> elsewhere{};
  };

  void load();
  bool take_in(const oci::Reference& reference, const oci::Platform& platform,
               const image::Resolved& resolved, const Told& told);
  [[nodiscard]] std::vector<std::string> make_room(Entries& entries) const;
  [[nodiscard]] std::vector<util::Digest> held(const Repository::Manifest& manifest) const;
  [[nodiscard]] bool is_one_or_open(const Entries& entries, const chunk::Origin& name,
                                    const std::string& repository) const;
  [[nodiscard]] bool would_open(const Entries& entries, const std::string& name,
                                const std::string& registry,
                                const std::vector<util::Digest>& held) const;
  [[nodiscard]] bool wants_inquiry(const Entry& entry) const;
  [[nodiscard]] bool is_public(const Entry& entry) const;
  [[nodiscard]] bool within(const std::optional<util::SteadyTime>& time, util::Duration age) const;
  void post(std::function<void()> job);
  // On the worker.
  void attend(const std::string& name);
  void settle_verdict(const std::string& name);
  void learn_secrets(const std::string& name);
  void save(const std::string& name);
  void set_verdict(const std::string& name, bool open, bool by_member);
  [[nodiscard]] std::optional<Entry> copy(const std::string& name) const;

  chunk::Store& store_;
  Inquiries& inquiries_;
  const util::Clock& clock_;
  const bool clustered_;
  std::atomic<bool> stopping_{false};
  util::Sync<Entries> entries_;
  util::Workers worker_{1};  ///< last: its jobs use the rest
};

}  // namespace swarmfs::daemon
