// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "util/sync.h"
#include "util/token_bucket.h"

namespace swarmfs::swarm {

/// Bytes per second that requests for bulk may bring together; 0: no limit. Any thread.
class BulkAllowance : public std::enable_shared_from_this<BulkAllowance> {
 public:
  explicit BulkAllowance(uint64_t rate) : bucket_(made(rate)) {}
  void set_rate(uint64_t rate) {
    bucket_.lock()->set_rate(static_cast<double>(rate), std::chrono::steady_clock::now());
  }
  /// Zero: one more request may go. Else how long until then.
  [[nodiscard]] util::Duration wait(util::SteadyTime now) const {
    return bucket_.lock()->wait(now);
  }

  /// Bytes that a request may yet bring. What it did not bring is given back when it dies.
  class Booking {
   public:
    Booking() = default;
    Booking(std::shared_ptr<BulkAllowance> from, uint64_t bytes)
        : from_(std::move(from)), left_(bytes) {}
    Booking(Booking&& other) noexcept
        : from_(std::move(other.from_)), left_(std::exchange(other.left_, 0)) {}
    Booking& operator=(Booking other) noexcept {
      std::swap(from_, other.from_);
      std::swap(left_, other.left_);
      return *this;
    }
    ~Booking() {
      if (from_ && left_ > 0)
        from_->bucket_.lock()->give_back(static_cast<double>(left_),
                                         std::chrono::steady_clock::now());
    }
    void came(uint64_t bytes) { left_ -= std::min(left_, bytes); }

   private:
    std::shared_ptr<BulkAllowance> from_;
    uint64_t left_ = 0;
  };
  [[nodiscard]] Booking book(uint64_t bytes, util::SteadyTime now) {
    bucket_.lock()->take(static_cast<double>(bytes), now);
    return {shared_from_this(), bytes};
  }

 private:
  static util::TokenBucket made(uint64_t rate) {
    return {static_cast<double>(rate), std::chrono::steady_clock::now()};
  }
  mutable util::Sync<util::TokenBucket> bucket_;
};

}  // namespace swarmfs::swarm
