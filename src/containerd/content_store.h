// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>

#include "util/digest.h"
#include "util/outcome.h"
#include "util/unique_fd.h"
#include "util/units.h"

namespace swarmfs::containerd {

/// containerd's content store as it lies on the disk: blobs/sha256/<hex> below its root, each file
/// complete and never changed once it is there. Blocking; any thread.
class ContentStore {
 public:
  /// Of manifests and configs; what is longer is not read.
  static constexpr uint64_t kLongest = 8 << 20;

  explicit ContentStore(std::filesystem::path root) : root_(std::move(root)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path path(const util::Digest& blob) const {
    return root_ / "blobs" / "sha256" / blob.hex();
  }
  /// Fault::not_found: it is not there; corrupt: it is not what its digest says, or too long.
  [[nodiscard]] util::Outcome<util::Bytes> read(const util::Digest& blob) const;
  /// Whether a file of that size is there.
  [[nodiscard]] bool has(const util::Digest& blob, uint64_t size) const;

 private:
  std::filesystem::path root_;
};

}  // namespace swarmfs::containerd
