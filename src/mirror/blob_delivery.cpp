// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/blob_delivery.h"

#include <algorithm>

namespace swarmfs::mirror {

BlobDelivery::BlobDelivery(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> blob,
                           const WantedRange& wanted, BlobStream::Window window,
                           DeliveryOptions options, DeliveryCalls calls)
    : fetcher_(fetcher),
      blob_(std::move(blob)),
      range_(wanted.range),
      holds_back_(wanted.to_the_end || range_.length == blob_->ref().size),
      window_(std::move(window)),
      options_(options),
      calls_(std::move(calls)),
      discards_(blob_->discards()) {
  stream_.emplace(fetcher_, blob_, range_, window_);
  if (range_.length == blob_->ref().size && !blob_->stored().verified()) hash_.emplace();
}

bool BlobDelivery::lays_aside(const util::Failure& failure) {
  return failure.fault == util::Fault::corrupt && !std::exchange(disputed_, true) &&
         calls_.dispute();
}

util::Outcome<util::SharedBytes> BlobDelivery::next(std::chrono::milliseconds patience) {
  auto piece = stream_->next(patience);
  if (piece || !lays_aside(piece.failure())) return piece;
  // What was sent so far may have been part of the lie: of a range nothing would tell.
  if (sent_ > 0 && !hash_) return piece;
  discards_ = blob_->discards();
  stream_.emplace(fetcher_, blob_, util::ByteRange{range_.offset + sent_, range_.length - sent_},
                  window_);
  return stream_->next(patience);
}

util::Outcome<util::Done> BlobDelivery::begin() {
  auto piece = next(options_.first);
  if (!piece) return piece.failure();
  first_ = std::move(*piece);
  return util::Done{};
}

bool BlobDelivery::give(http::BodyWriter& client, util::ByteView bytes) {
  if (!bytes.empty() && !client.write(bytes)) return false;
  sent_ += bytes.size();
  return true;
}

BlobDelivery::End BlobDelivery::send(http::BodyWriter& client) {
  const uint64_t size = blob_->ref().size;
  while (sent_ < range_.length) {
    auto piece =
        first_.size() > 0 ? util::Outcome(std::exchange(first_, {})) : next(options_.silence);
    if (!piece || !calls_.may_have()) return End::broken;
    auto bytes = piece->view();
    if (hash_) hash_->update(bytes);
    if (holds_back_ && range_.offset + sent_ + bytes.size() == size) {
      const uint64_t held = std::min<uint64_t>(chunk::kBlockSize, bytes.size());
      if (!give(client, bytes.first(bytes.size() - held))) return End::left;
      bytes = bytes.last(held);
      if (const auto end = proven(); end != End::whole) return end;
    }
    if (!give(client, bytes)) return End::left;
  }
  return End::whole;
}

BlobDelivery::End BlobDelivery::proven() {
  const auto& digest = blob_->ref().digest;
  hashed_whole_ = hash_ && hash_->finish() == digest;
  if (hashed_whole_) return End::whole;
  const bool was_read_whole = hash_.has_value();
  // What is here now says nothing of what was sent before.
  if (!was_read_whole && blob_->discards() != discards_) return End::broken;
  const bool checked = blob_->sealed() && !blob_->claimed();
  if (blob_->stored().verified() || checked) return was_read_whole ? End::wrong : End::whole;
  // What is here now may be better than what was read: another reader has dropped the bad bytes.
  const auto good = hashes_well();
  hashed_whole_ = good == true;
  dropped_ = good == false;
  if (dropped_ && blob_->claimed())
    calls_.disprove();
  else if (dropped_)
    blob_->discard("does not match its digest");
  if (was_read_whole) return End::wrong;
  return !good ? End::broken : *good ? End::whole : End::wrong;
}

std::optional<bool> BlobDelivery::hashes_well() {
  const auto& ref = blob_->ref();
  BlobStream all(fetcher_, blob_, {0, ref.size}, window_);
  util::Sha256 hash;
  for (;;) {
    const auto piece = all.next(options_.silence);
    if (!piece) lays_aside(piece.failure());  // for who asks next
    if (!piece) return std::nullopt;
    if (piece->size() == 0) return hash.finish() == ref.digest;
    hash.update(piece->view());
  }
}

}  // namespace swarmfs::mirror
