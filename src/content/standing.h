// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <memory>

#include "content/tree_document.h"
#include "util/sync.h"

namespace swarmfs::content {

/// How far a layer's index and bytes can be believed. Written by LayerLibrary, read by all who read
/// the layer. Any thread.
class Standing {
 public:
  using Document = std::shared_ptr<const TreeDocument>;
  /// Of a claim: nobody doubts it; bytes contradict it and the whole layer is being hashed to see
  /// who lied; that was done, and it was not the claimant.
  enum class Dispute { none, open, settled };

  Standing(Document document, uint64_t generation)
      : document_(std::move(document)), generation_(generation) {}

  /// The hash tree and who vouches for it; null until somebody hashed the whole layer.
  [[nodiscard]] Document document() const { return *document_.lock(); }
  void set_document(Document document) { *document_.lock() = std::move(document); }
  /// Index and tree are another node's word.
  [[nodiscard]] bool claimed() const {
    const auto document = this->document();
    return document && document->claimed();
  }

  [[nodiscard]] Dispute dispute() const { return dispute_; }
  void set_dispute(Dispute dispute) { dispute_ = dispute; }
  /// True for the one caller that opened it.
  bool open_dispute() {
    auto expected = Dispute::none;
    return dispute_.compare_exchange_strong(expected, Dispute::open);
  }

  /// The index was a lie: whoever reads through it gets Fault::corrupt.
  [[nodiscard]] bool refuted() const { return refuted_; }
  void refute() { refuted_ = true; }

  /// What was inflated of the layer's bytes in an older generation must not be used.
  [[nodiscard]] uint64_t generation() const { return generation_; }
  void set_generation(uint64_t generation) { generation_ = generation; }

 private:
  util::Sync<Document> document_;
  std::atomic<Dispute> dispute_{Dispute::none};
  std::atomic<bool> refuted_{false};
  std::atomic<uint64_t> generation_;
};

}  // namespace swarmfs::content
