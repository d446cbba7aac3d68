// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/passage.h"

#include <algorithm>
#include <utility>

namespace swarmfs::mirror {

namespace {

/// What lies further behind in a blob is not worth all that comes before.
constexpr uint64_t kMostDropped = 64 << 20;

}  // namespace

Passage::Passage(Upstream& upstream, Fronts& fronts, oci::Reference blob, util::ByteRange range,
                 std::string authorization, DeliveryOptions options)
    : upstream_(upstream),
      fronts_(fronts),
      blob_(std::move(blob)),
      range_(range),
      authorization_(std::move(authorization)),
      options_(options) {}

void Passage::ask(std::chrono::milliseconds patience) {
  const util::ByteRange piece{range_.offset + asked_, std::min(kPiece, range_.length - asked_)};
  if (piece.length == 0) return;
  asked_ += piece.length;
  next_ = std::async(std::launch::async, [this, piece, patience] {
    return upstream_.bytes_of(blob_, piece, authorization_, chunk::Class::pull,
                              std::chrono::steady_clock::now() + patience);
  });
}

Passage::Piece Passage::next(std::chrono::milliseconds patience) {
  return front_ ? front_->next(patience) : next_.get();
}

util::Outcome<util::Done> Passage::begin() {
  const auto until = std::chrono::steady_clock::now() + options_.first;
  ask(options_.first);
  auto piece = next(options_.first);
  if (!piece && piece.failure().fault == util::Fault::invalid && range_.offset <= kMostDropped) {
    // A place that comes late is of no use to a client that is gone by then.
    front_.emplace(upstream_, fronts_, blob_, range_, authorization_, options_.first / 2);
    piece = next(std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now()));
  }
  if (!piece) return piece.failure();
  first_ = std::move(*piece);
  return util::Done{};
}

BlobDelivery::End Passage::send(http::BodyWriter& client) {
  using End = BlobDelivery::End;
  util::Sha256 hash;
  while (sent_ < range_.length) {
    auto piece = first_.empty() ? next(options_.silence) : Piece(std::exchange(first_, {}));
    if (!piece) return End::broken;
    if (front_)
      hash.update(*piece);
    else
      ask(options_.silence);
    if (!client.write(*piece)) return End::left;
    sent_ += piece->size();
  }
  showed_all_ = front_ && hash.finish() == blob_.digest;
  return End::whole;
}

}  // namespace swarmfs::mirror
