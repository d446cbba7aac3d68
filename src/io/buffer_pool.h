// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "util/shared_bytes.h"
#include "util/sync.h"

namespace swarmfs::io {

/// Page-aligned memory for O_DIRECT. `slot` is its number among the registered buffers, -1 when it
/// came from the heap because all of them were out.
struct Buffer {
  std::byte* data = nullptr;
  size_t size = 0;
  int slot = -1;
};

/// A few large buffers that io_uring knows (registered), and the heap beyond them. Any thread.
/// Must outlive every buffer that it gave.
class BufferPool {
 public:
  static constexpr size_t kBufferSize = 1 << 20;
  static constexpr size_t kAlignment = 4096;

  explicit BufferPool(size_t count);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// At least `size` bytes, given back when the last owner goes.
  [[nodiscard]] std::shared_ptr<Buffer> take(size_t size);
  /// Few registered buffers are left: not the time to read what nobody asked for yet.
  [[nodiscard]] bool scarce() const { return free_.lock()->size() <= all_.size() / 4; }
  [[nodiscard]] const std::vector<std::byte*>& registered() const { return all_; }

 private:
  std::vector<std::byte*> all_;
  util::Sync<std::vector<int>> free_;
};

}  // namespace swarmfs::io
