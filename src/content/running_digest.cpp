// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/running_digest.h"

namespace swarmfs::content {

RunningDigest::RunningDigest(fetch::Fetcher& fetcher, std::shared_ptr<const Content> content)
    : fetcher_(fetcher), content_(std::move(content)) {}

bool RunningDigest::is_of_now() const {
  return stream_ && !failure_ && document_ == content_->standing->document() &&
         tree_ == content_->bytes->tree() && discards_ == content_->bytes->discards();
}

void RunningDigest::begin() {
  // Before the first look at the bytes.
  document_ = content_->standing->document();
  tree_ = content_->bytes->tree();
  discards_ = content_->bytes->discards();
  failure_.reset();
  hash_ = {};
  stream_ = std::make_unique<LayerStream>(
      fetcher_, content_->bytes,
      chunk::FetchContext{.cls = chunk::Class::backfill, .cause = "digest"});
}

bool RunningDigest::hash_next() {
  const auto piece = stream_->next();
  if (!piece) failure_ = piece.failure();
  if (!piece || piece->size() == 0) return false;
  hash_.update(piece->view());
  return true;
}

bool RunningDigest::advance() {
  if (failure_) return false;
  if (!is_of_now()) begin();
  return document_ && tree_ && stream_->next_is_here() && hash_next();
}

util::Outcome<util::Digest> RunningDigest::finish() {
  do {
    if (!is_of_now()) begin();
    while (hash_next()) {
    }
    if (failure_) return *failure_;
  } while (!is_of_now());
  stream_.reset();
  return hash_.finish();
}

}  // namespace swarmfs::content
