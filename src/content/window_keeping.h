// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <memory>
#include <string>

#include "chunk/hash_tree.h"
#include "chunk/store.h"
#include "util/sync.h"

namespace swarmfs::content {

/// Whose windows the store has: of each layer those that its index (the store's document) names.
/// None is held open for it: what no layer in use needs is evicted with the rest.
/// Documents "windows/<layer>.<name>.<size>", which are empty, say so before any index is read.
/// Any thread.
class WindowKeeping {
 public:
  using OnRead = chunk::StoredLayer::OnRead;
  using Tree = std::shared_ptr<const chunk::HashTree>;

  explicit WindowKeeping(chunk::Store& store);

  /// These are the layer's from now on; others that it had are dropped. Blocks.
  void note(const util::Digest& layer, const Tree& tree);
  /// All of them, as noted. False: the store does not take them. Blocks.
  bool fill(const util::Digest& layer, const util::Bytes& windows);
  /// The layer's index is gone. Blocks.
  void forget(const util::Digest& layer);
  /// Whether they are noted and all here; also of a layer that needs none. Never blocks.
  [[nodiscard]] bool complete(const util::Digest& layer) const;
  /// A range of those of that name (windows_name). Fault::not_found: they are not, or no longer,
  /// here; Fault::invalid: the range lies outside. Blocks where the index must be read first;
  /// `on_read` as of chunk::StoredLayer::read().
  void read(const util::Digest& layer, const util::Digest& name, util::ByteRange range,
            OnRead on_read);

 private:
  struct Kept {
    util::Digest name;
    uint64_t size = 0;
    /// Empty: there are none, the disk had no place, or the store let go of what held nothing.
    std::weak_ptr<chunk::StoredLayer> stored;
    Tree tree;  ///< null until the index is read
  };
  [[nodiscard]] static std::string name_of(const util::Digest& layer, const Kept& kept);
  [[nodiscard]] std::shared_ptr<chunk::StoredLayer> open(const Kept& kept) const;
  std::shared_ptr<chunk::StoredLayer> open_again(const util::Digest& layer, const Kept& kept);
  [[nodiscard]] Kept kept(const util::Digest& layer) const;
  /// What was lost of it in a crash is found out with its tree only.
  [[nodiscard]] bool trusted(const util::Digest& layer, const Kept& kept,
                             chunk::StoredLayer& stored);
  void drop(const util::Digest& layer, const Kept& kept);

  chunk::Store& store_;
  util::Sync<std::map<util::Digest, Kept>> kept_;
};

}  // namespace swarmfs::content
