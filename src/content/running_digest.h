// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>

#include "content/content.h"
#include "content/layer_stream.h"

namespace swarmfs::content {

/// The digest of a layer that is being brought in, hashed from the front behind what comes: who
/// waits for the layer does not wait for all of it to be hashed once the last byte is here.
/// One thread at a time.
class RunningDigest {
 public:
  RunningDigest(fetch::Fetcher& fetcher, std::shared_ptr<const Content> content);

  /// Hashes the next piece (1 MiB) if it is here, with those after it that would be asked for
  /// meanwhile. False: it is not, or there is no hash tree now, without which what comes may be
  /// replaced. Waits for the disk at most.
  bool advance();
  /// The rest, wherever it must come from; all of it where the tree is another one than it was, or
  /// the bytes were dropped meanwhile.
  [[nodiscard]] util::Outcome<util::Digest> finish();

  [[nodiscard]] const Content& content() const { return *content_; }

 private:
  [[nodiscard]] bool is_of_now() const;
  void begin();
  /// False at the end, or with a failure.
  bool hash_next();

  fetch::Fetcher& fetcher_;
  const std::shared_ptr<const Content> content_;
  std::unique_ptr<LayerStream> stream_;  ///< null: nothing is hashed
  Standing::Document document_;          ///< when that began, as:
  std::shared_ptr<const chunk::HashTree> tree_;
  unsigned discards_ = 0;
  util::Sha256 hash_;
  std::optional<util::Failure> failure_;
};

}  // namespace swarmfs::content
