// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/block.h"
#include "chunk/fetch_context.h"
#include "chunk/hash_tree.h"
#include "chunk/layer_ref.h"
#include "chunk/store.h"
#include "swarm/registry_words.h"
#include "util/digest.h"
#include "util/operation.h"
#include "util/outcome.h"
#include "util/shared_bytes.h"

namespace swarmfs::swarm {

/// A layer as this node has it, for other nodes.
struct HeldLayer {
  uint64_t size = 0;
  bool complete = false;  ///< every block is here
  bool sealed = false;    ///< published() has a claim, and the index's windows are here
  std::vector<chunk::BlockRange> presence;  ///< blocks here, or on their way from the registry
  std::vector<chunk::BlockRange> coming{};  ///< of these: on their way
};
/// Whether all the blocks are in the store, or on their way from the registry.
bool is_here(const HeldLayer& held, chunk::BlockRange blocks);
/// Whether some of them are on their way.
bool is_coming(const HeldLayer& held, chunk::BlockRange blocks);

/// What a node that hashed the layer as a whole gives away with it.
struct PublishedLayer {
  util::Bytes index;   ///< the layer index document
  util::Bytes leaves;  ///< of the hash tree, 32 bytes per block
  std::string claim;
};

/// A sealed layer, for whoever exchanges its bytes with other nodes.
struct ExchangedLayer {
  chunk::LayerRef ref;
  std::shared_ptr<const chunk::HashTree> tree;
  std::shared_ptr<chunk::StoredLayer> stored;
  /// Whether the tree is still what the layer must match. Any thread; never blocks.
  std::function<bool()> stands;
};

/// Who may have what is of a repository.
struct Access {
  bool known_public = false;  ///< the registry gave its manifest to nobody in particular
  /// What only who could pull an image of it knows: SHA-256 over the bytes of its manifest and of
  /// its config, by manifest. Both sides of a proof compute it; it never travels.
  std::map<util::Digest, util::Digest> secrets;
};

struct HeldManifest {
  util::Digest digest;
  util::Bytes bytes;
};

/// A layer as a member asks for it.
struct NamedLayer {
  util::Digest digest;
  std::string repository;
};

/// What the demand lane needs from the rest of the daemon, which implements it. Repositories are
/// "registry/name" ("docker.io/library/nginx"). Called on threads of the demand server, several at
/// once; must not block.
///
/// A manifest can name any layer, so what is here of one is given only in the name of a repository
/// that was shown to hold it. In another name all answers are as if nothing of it were here.
class Holdings {
 public:
  virtual ~Holdings() = default;
  /// Whether a manifest of the repository that names the layer was resolved here (or by a member).
  [[nodiscard]] virtual bool belongs(const util::Digest& layer, const std::string& repository) = 0;
  [[nodiscard]] virtual Access access(const std::string& repository) = 0;
  /// For ourselves, in whatever name. Empty: nothing is known of it here.
  [[nodiscard]] virtual std::optional<HeldLayer> held(const util::Digest& layer) = 0;
  /// For a member.
  [[nodiscard]] virtual std::optional<HeldLayer> held(const NamedLayer& layer) = 0;
  /// Whether one more chunk that is not here may be fetched for a member's bulk: not where many
  /// stand in line for the registry already. Any thread, cheap.
  [[nodiscard]] virtual bool may_relay() { return true; }
  /// Whether anything of the layer was ever stored here, in whatever name. Unlike held() it makes
  /// no room for it.
  [[nodiscard]] virtual bool is_stored(const util::Digest& layer) = 0;
  /// Bytes for a peer. `fetch`: from the repository where they are not here (or on their way); else
  /// absent bytes are Fault::not_found. `on_read` runs on any thread, once, unless the operation
  /// dies first.
  using OnRead = std::function<void(util::Outcome<util::SharedBytes>)>;
  [[nodiscard]] virtual util::Operation read(const NamedLayer& layer, util::ByteRange range,
                                             bool fetch, const chunk::FetchContext& context,
                                             OnRead on_read) = 0;
  /// A range of the windows of the layer's index that have this name (chunk::Form::windows); where
  /// not all that is asked for is here Fault::not_found, outside of them Fault::invalid. As read().
  [[nodiscard]] virtual util::Operation windows(const NamedLayer& layer, const util::Digest& name,
                                                util::ByteRange range, OnRead on_read) = 0;
  /// The answer may come later, on any thread: documents are read from the disk.
  virtual void published(const NamedLayer& layer,
                         std::function<void(std::optional<PublishedLayer>)> callback) = 0;
  /// Empty: it is not sealed here, or not shown to be of a public repository. May read documents
  /// from the disk.
  [[nodiscard]] virtual std::optional<ExchangedLayer> exchanged(const util::Digest& layer) = 0;
  /// What a reference of a public repository stood for when it was last resolved here.
  /// `platform`: "linux/amd64".
  virtual void manifest(const std::string& reference, const std::string& platform,
                        std::function<void(std::optional<HeldManifest>)> callback) = 0;
  /// Registries that are asked for bulk here, or told us to wait; by host.
  [[nodiscard]] virtual std::map<std::string, RegistryWord> registries() = 0;
  /// The access profile of an image of the repository (JSON of image::AccessProfile).
  virtual void profile(const util::Digest& manifest, const std::string& repository,
                       std::function<void(std::optional<std::string>)> callback) = 0;
};

}  // namespace swarmfs::swarm
