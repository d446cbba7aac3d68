// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunk/layer_ref.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "util/digest.h"
#include "util/units.h"

namespace swarmfs::daemon {

/// What only who could pull an image knows: SHA-256("swarmfs-pull-proof-1" || manifest || config),
/// over the bytes of both.
util::Digest pull_secret(util::ByteView manifest, util::ByteView config);

/// "docker.io/library/nginx"
std::string repository_name(const oci::Reference& reference);
/// Of such a name.
chunk::Origin origin_named(const std::string& repository);

/// What is known of one repository: the manifests that were resolved, what references stood for,
/// and whether anybody may have them. A value; bounded: what is newest is kept.
class Repository {
 public:
  static constexpr size_t kManifests = 64;
  static constexpr size_t kReferences = 256;
  static constexpr size_t kIndexes = 16;
  using WallTime = std::chrono::system_clock::time_point;

  struct Manifest {
    util::Digest digest;
    std::shared_ptr<const util::Bytes> bytes;
    oci::Descriptor config;
    std::map<util::Digest, uint64_t> layers;  ///< and how large it says that each is
    std::optional<util::Digest> secret;       ///< once the config was seen
  };
  /// Whether the registry gives its manifests to nobody in particular, and when that was found.
  struct Verdict {
    bool open = false;
    WallTime at;
  };

  explicit Repository(std::string name) : name_(std::move(name)) {}

  /// Empty result: the bytes are no image manifest, or not the digest's.
  static std::optional<Manifest> read(const util::Digest& digest, util::ByteView bytes);

  /// `hearsay`: by the word of a member, not of the registry. True: something changed.
  bool add(Manifest manifest, const std::string& reference, const std::string& platform,
           bool hearsay);
  /// True: something changed.
  bool add_index(util::ByteView bytes);
  void set_secret(const util::Digest& manifest, const util::Digest& secret);
  void set_verdict(Verdict verdict) { verdict_ = verdict; }
  /// The repository showed that it holds a layer of its manifests; believed as long as one of them
  /// is known. True: that is news.
  bool set_shown(const util::Digest& layer);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::optional<Verdict>& verdict() const { return verdict_; }
  /// Oldest first, at least one once something was added.
  [[nodiscard]] const std::vector<Manifest>& manifests() const { return manifests_; }
  [[nodiscard]] bool names_layer(const util::Digest& layer) const {
    return layers_.contains(layer);
  }
  /// As the newest manifest says that names it; empty: none does.
  [[nodiscard]] std::optional<uint64_t> size_of(const util::Digest& layer) const;
  [[nodiscard]] bool shows(const util::Digest& layer) const { return shown_.contains(layer); }
  [[nodiscard]] std::map<util::Digest, util::Digest> secrets() const;
  [[nodiscard]] bool lacks_secrets() const;
  /// What the registry said when it was last asked for the reference; null: it was not, or a member
  /// has told us something else since.
  [[nodiscard]] const Manifest* find(const std::string& reference,
                                     const std::string& platform) const;
  /// Null: no such manifest is known of this repository.
  [[nodiscard]] const Manifest* find(const util::Digest& digest) const;
  /// An index that led to one of the manifests; null: not known.
  [[nodiscard]] std::shared_ptr<const util::Bytes> index(const util::Digest& digest) const;
  /// How a registry is asked for one of the manifests.
  [[nodiscard]] oci::Reference reference_to(const util::Digest& manifest) const;

  /// The document "repository/…". parse() is for a disk that may have been written by anybody:
  /// empty result where it makes no sense; a manifest that is not its digest's is left out.
  [[nodiscard]] std::string to_json() const;
  static std::optional<Repository> parse(std::string_view text);

 private:
  struct Named {
    std::string reference;
    std::string platform;
    util::Digest manifest;
    bool hearsay = false;
    bool operator==(const Named&) const = default;
  };
  struct Index {
    util::Digest digest;
    std::shared_ptr<const util::Bytes> bytes;
  };
  bool put_last(Manifest manifest);
  void trim();

  std::string name_;
  std::optional<Verdict> verdict_;
  std::vector<Manifest> manifests_;
  std::vector<Named> references_;            ///< oldest first
  std::vector<Index> indexes_;               ///< oldest first
  std::map<util::Digest, uint64_t> layers_;  ///< of all manifests, and their sizes
  std::set<util::Digest> shown_;             ///< of these
};

}  // namespace swarmfs::daemon
