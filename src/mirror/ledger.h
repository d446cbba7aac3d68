// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chunk/store.h"
#include "mirror/document.h"
#include "oci/reference.h"
#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::mirror {

/// "docker.io/library/nginx"
std::string repository_of(const oci::Reference& reference);

/// The manifests that passed, in which repositories, under which tags, and so which blobs of which
/// size may be asked for next. Kept in the store's documents "mirrored/<hex>", one per manifest;
/// bounded: those that were given out last are kept. Any thread; nothing waits for the disk but a
/// worker of the ledger's own.
class Ledger {
 public:
  static constexpr size_t kManifests = 1024;

  explicit Ledger(chunk::Store& store);
  /// Saves what waits.
  ~Ledger();

  /// `reference` (by tag or digest) stands for the document now.
  void note(const oci::Reference& reference, const Document& document);
  /// What the reference stood for last; by digest only within its repository.
  [[nodiscard]] std::optional<Document> find(const oci::Reference& reference);

  struct Blob {
    NamedBlob blob;
    util::Digest manifest;  ///< that names it
  };
  /// A blob that a manifest of the repository names.
  [[nodiscard]] std::optional<Blob> blob(const std::string& repository,
                                         const util::Digest& digest) const;

  /// The repository showed that it holds the blob: said of every manifest of it that names the
  /// blob, and of those to come. False: none does.
  bool set_belongs(const std::string& repository, const util::Digest& blob);
  /// What it showed, or what a repository did that is public: then anybody may have it.
  [[nodiscard]] bool belongs(const std::string& repository, const util::Digest& blob) const;

  /// Whether the registry gave something of the repository to nobody in particular when it was
  /// last asked.
  void set_public(const std::string& repository, bool open);
  [[nodiscard]] bool is_public(const std::string& repository) const;

 private:
  struct Use {
    std::map<std::string, uint64_t> tags;  ///< by when they were seen, in milliseconds of the epoch
    bool open = false;
    std::set<util::Digest> blobs;  ///< that it showed to hold
  };
  struct Record {
    Document document;
    std::vector<NamedBlob> blobs;
    std::map<std::string, Use> uses;  ///< by repository
    uint64_t touched = 0;             ///< grows
  };
  using Records = std::map<util::Digest, Record>;

  struct Tagged {
    std::optional<util::Digest> digest;
    uint64_t seen = 0;
  };
  static void inherit_blobs(const Records& records, const std::string& repository, Use& use,
                            const Record& record);
  static Tagged find_tag(const Records& records, const oci::Reference& reference);
  static std::optional<Record> parse(std::string_view text);
  static std::string to_json(const Record& record);
  void save_later(const util::Digest& digest);

  chunk::Store& store_;
  util::Sync<Records> records_;
  util::Workers worker_{1};  ///< last: its jobs use the rest
};

}  // namespace swarmfs::mirror
