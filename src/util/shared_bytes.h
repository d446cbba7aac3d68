// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <memory>
#include <utility>

#include "util/units.h"

namespace swarmfs::util {

/// Read-only bytes with a shared owner: a vector, a registered io_uring buffer, a mapped page.
/// Cheap to copy and to slice; the memory lives as long as any slice. Immutable, so thread-safe.
class SharedBytes {
 public:
  SharedBytes() = default;
  SharedBytes(std::shared_ptr<const void> owner, ByteView view)
      : owner_(std::move(owner)), view_(view) {}
  static SharedBytes of(Bytes bytes) {
    auto owner = std::make_shared<const Bytes>(std::move(bytes));
    const ByteView view(*owner);
    return {std::move(owner), view};
  }

  [[nodiscard]] ByteView view() const noexcept { return view_; }
  [[nodiscard]] size_t size() const noexcept { return view_.size(); }
  [[nodiscard]] const std::byte* data() const noexcept { return view_.data(); }
  /// Requires at + length <= size().
  [[nodiscard]] SharedBytes slice(size_t at, size_t length) const {
    return {owner_, view_.subspan(at, length)};
  }

 private:
  std::shared_ptr<const void> owner_;
  ByteView view_;
};

}  // namespace swarmfs::util
