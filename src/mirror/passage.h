// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <future>
#include <optional>
#include <string>

#include "http/server.h"
#include "mirror/blob_delivery.h"
#include "mirror/front_stream.h"
#include "mirror/upstream.h"

namespace swarmfs::mirror {

/// One range of a blob from its registry to one client, in that client's name, past the cache:
/// while what is here of the blob comes in another repository's name, and is not checked yet, or
/// the registry cannot show that it holds it. As a registry it does not check: the client does. One
/// thread, and one of its own for what it asks ahead.
class Passage {
 public:
  /// That much is asked for at once, and held twice, where the registry knows ranges. Else all of
  /// it flows.
  static constexpr uint64_t kPiece = 256 << 10;

  Passage(Upstream& upstream, Fronts& fronts, oci::Reference blob, util::ByteRange range,
          std::string authorization, DeliveryOptions options);
  /// Waits for the first piece.
  util::Outcome<util::Done> begin();
  BlobDelivery::End send(http::BodyWriter& client);
  [[nodiscard]] uint64_t sent() const { return sent_; }

  /// A registry without ranges gave all of the blob, and it matched its digest.
  [[nodiscard]] bool showed_all() const { return showed_all_; }

 private:
  using Piece = util::Outcome<util::Bytes>;
  /// Asks for the piece at `asked_`; at the end for none.
  void ask(std::chrono::milliseconds patience);
  Piece next(std::chrono::milliseconds patience);

  Upstream& upstream_;
  Fronts& fronts_;
  const oci::Reference blob_;
  const util::ByteRange range_;
  const std::string authorization_;
  const DeliveryOptions options_;
  uint64_t asked_ = 0, sent_ = 0;  ///< of the range
  bool showed_all_ = false;
  util::Bytes first_;
  std::optional<FrontStream> front_;
  std::future<Piece> next_;  ///< last: waits for its thread
};

}  // namespace swarmfs::mirror
