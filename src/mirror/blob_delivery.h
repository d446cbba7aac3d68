// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "chunk/store.h"
#include "fetch/fetcher.h"
#include "http/server.h"
#include "mirror/blob_stream.h"
#include "mirror/wanted_range.h"
#include "util/digest.h"

namespace swarmfs::mirror {

struct DeliveryOptions {
  /// Until the first piece: before it the client can still be told to go elsewhere.
  std::chrono::milliseconds first{20'000};
  /// Without a byte for so long, the connection is ended: the client resumes, here or elsewhere.
  std::chrono::milliseconds silence{25'000};
};

/// What a delivery asks of who began it; on its thread.
struct DeliveryCalls {
  /// Whether the client may have what has come by now.
  std::function<bool()> may_have;
  /// As Upstream has them, of its blob.
  std::function<bool()> dispute;
  std::function<void()> disprove;
};

/// One range of a blob on its way to a client. What is sealed by this node's own hash was checked
/// block by block. Otherwise of who wants all of the blob, or all the rest, the last block is held
/// back until all bytes were hashed and those that were sent are among them: nobody gets a whole
/// blob that is not what its digest says. Who names an end reads here and there, and checks what he
/// reads. Another node's word, which all sources contradict, is laid aside once; the client does
/// not notice, but where it named an end and has some of the range already. One thread.
class BlobDelivery {
 public:
  enum class End {
    whole,   ///< all of the range was sent
    broken,  ///< bytes did not come in time, or are not for this client any more
    wrong,   ///< the bytes do not match the digest; they were dropped unless our own hash tree
             ///< covers them
    left,    ///< the client went away
  };

  BlobDelivery(fetch::Fetcher& fetcher, std::shared_ptr<fetch::Layer> blob,
               const WantedRange& wanted, BlobStream::Window window, DeliveryOptions options,
               DeliveryCalls calls);
  /// Waits for the first piece.
  util::Outcome<util::Done> begin();
  End send(http::BodyWriter& client);
  [[nodiscard]] uint64_t sent() const { return sent_; }
  /// All of the blob, not of the range alone, was read here and matched its digest.
  [[nodiscard]] bool hashed_whole() const { return hashed_whole_; }
  /// The last block, until all was right.
  [[nodiscard]] bool holds_back() const { return holds_back_; }
  /// Of End::wrong: what was here by then was wrong, too, and was dropped.
  [[nodiscard]] bool dropped() const { return dropped_; }

 private:
  /// Whether all contradicted another node's word, which is laid aside now; once.
  bool lays_aside(const util::Failure& failure);
  /// Of `stream_`.
  util::Outcome<util::SharedBytes> next(std::chrono::milliseconds patience);
  bool give(http::BodyWriter& client, util::ByteView bytes);
  /// Whether the last block may go: whole; else why not.
  End proven();
  /// What is here is wrong; it was hashed after so many discards.
  void drop(unsigned discards);
  struct Here {
    util::Digest all, range;
  };
  /// Hashes what is here of the blob, from its first byte to its last; empty: not all of it came.
  std::optional<Here> hash_again();

  fetch::Fetcher& fetcher_;
  const std::shared_ptr<fetch::Layer> blob_;
  const util::ByteRange range_;
  const bool holds_back_;
  const BlobStream::Window window_;
  const DeliveryOptions options_;
  const DeliveryCalls calls_;
  const unsigned discards_;           ///< of the blob, when its first byte was asked for
  std::optional<BlobStream> stream_;  ///< from sent_ on, what `first_` holds aside
  util::SharedBytes first_;
  std::optional<util::Sha256> hash_;  ///< of all that was read; absent: nobody will ask
  uint64_t sent_ = 0;
  bool hashed_whole_ = false, dropped_ = false, disputed_ = false;
};

}  // namespace swarmfs::mirror
