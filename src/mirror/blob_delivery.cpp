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
  const bool checked = range_.length < blob_->ref().size && blob_->sealed_by_us();
  if (holds_back_ && !checked && !blob_->stored().verified()) hash_.emplace();
}

bool BlobDelivery::lays_aside(const util::Failure& failure) {
  return failure.fault == util::Fault::corrupt && !std::exchange(disputed_, true) &&
         calls_.dispute();
}

util::Outcome<util::SharedBytes> BlobDelivery::next(std::chrono::milliseconds patience) {
  auto piece = stream_->next(patience);
  if (piece || !lays_aside(piece.failure())) return piece;
  // What was sent so far may have been part of the lie, and nothing would tell.
  if (sent_ > 0 && !hash_) return piece;
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
  const auto& ref = blob_->ref();
  const bool all = range_.length == ref.size;
  const auto read = hash_ ? std::optional(hash_->finish()) : std::nullopt;
  hashed_whole_ = all && read == ref.digest;
  if (hashed_whole_) return End::whole;
  const unsigned discards = blob_->discards();
  if (!read && discards != discards_) return End::broken;
  const bool ours = blob_->stored().verified() || blob_->sealed_by_us();
  if (ours && !read) return End::whole;
  if (ours && all) return End::wrong;
  // What is here now may be better than what was read: another reader has dropped the bad bytes.
  const auto here = hash_again();
  if (!here) return End::broken;
  hashed_whole_ = here->all == ref.digest;
  dropped_ = !hashed_whole_ && !ours;
  if (dropped_) drop(discards);
  const bool same = !read || here->range == *read;
  return hashed_whole_ && same ? End::whole : End::wrong;
}

void BlobDelivery::drop(unsigned discards) {
  if (blob_->claimed())
    calls_.disprove();
  else if (blob_->discards() == discards)  // else what is here came since
    blob_->discard("does not match its digest");
}

std::optional<BlobDelivery::Here> BlobDelivery::hash_again() {
  BlobStream blob(fetcher_, blob_, {0, blob_->ref().size}, window_);
  util::Sha256 all, range;
  for (uint64_t at = 0;;) {
    const auto piece = blob.next(options_.silence);
    // What comes from now on is another, and it is hashed from its beginning: once.
    if (!piece) return lays_aside(piece.failure()) ? hash_again() : std::nullopt;
    if (piece->size() == 0) return Here{all.finish(), range.finish()};
    const auto bytes = piece->view();
    all.update(bytes);
    const uint64_t before = range_.offset > at ? range_.offset - at : 0;
    range.update(bytes.subspan(std::min<uint64_t>(before, bytes.size())));
    at += bytes.size();
  }
}

}  // namespace swarmfs::mirror
