// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "chunk/store.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "util/sync.h"

namespace swarmfs::image {

struct Resolved {
  util::Digest digest;  ///< of the image manifest (not of an index)
  util::Bytes manifest;
  std::vector<util::Bytes> indexes{};  ///< that led to it, the outermost first
};

struct Mount {
  std::string directory;
  bool pinned = false;
  std::string options;  ///< of the bind mount, as util::mount_flags() takes them
};

/// A reference as one path component, at most 180 bytes: percent-encoded, or a hash where that
/// would be longer.
std::string encoded(const oci::Reference& reference);
/// The name of an image: encoded(reference) + "@" + hex of its manifest's digest. A tag that moved
/// makes another image, beside the old one.
std::string image_name(const oci::Reference& reference, const util::Digest& manifest);

/// What a reference stood for at some time, and where it is mounted.
struct ImageRecord {
  oci::Reference reference;
  Resolved resolved;
  std::vector<oci::Descriptor> layers;  ///< bottom first
  std::vector<Mount> mounts;
  /// When a platform's manifest was this one the last time: larger is later.
  std::map<std::string, uint64_t> platforms;

  [[nodiscard]] std::string name() const { return image_name(reference, resolved.digest); }
  [[nodiscard]] uint64_t latest() const;
};

/// What is known of images, one record per (reference, manifest), in the store's documents
/// "image/<hash of the name>". A record with mounts stays as it is until they are gone; of the
/// others the newest of each reference are kept. Any thread; changes block on the disk. Where that
/// is full they count all the same, and survive a restart if it takes them before (Store).
class ImageRecords {
 public:
  static constexpr size_t kKept = 8;  ///< of a reference, that nobody has mounted

  /// Takes in the records of earlier versions, which had a reference's name.
  explicit ImageRecords(chunk::Store& store);

  /// The reference stands for this now. Its mounts, and those of its other manifests, stay.
  /// Fault::corrupt, invalid: no manifest of an image.
  util::Outcome<ImageRecord> note(const oci::Reference& reference, const oci::Platform& platform,
                                  Resolved resolved);
  /// Mounts image `name` on the directory; the images that this takes the directory from.
  std::vector<std::string> add_mount(const std::string& name, const Mount& mount);
  /// The image that was mounted there; empty: none.
  std::optional<std::string> remove_mount(const std::string& directory);

  [[nodiscard]] std::optional<ImageRecord> find(const std::string& name) const;
  [[nodiscard]] bool is_mounted(const std::string& name) const;
  /// What the reference stood for last, for this platform or any.
  [[nodiscard]] std::optional<ImageRecord> newest(const oci::Reference& reference,
                                                  const oci::Platform* platform = nullptr) const;
  /// All that have mounts, the one that was resolved last at the end.
  [[nodiscard]] std::vector<ImageRecord> mounted() const;
  /// Layers of images with a mount that pins them.
  [[nodiscard]] std::set<util::Digest> pinned_layers() const;

 private:
  using Records = std::map<std::string, ImageRecord>;

  void save(const ImageRecord& record);
  void forget_old(const std::string& encoded);

  chunk::Store& store_;
  util::Sync<std::monostate> writing_;  ///< held over a change and its way to the disk
  util::Sync<Records> records_;
};

}  // namespace swarmfs::image
