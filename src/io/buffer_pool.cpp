// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "io/buffer_pool.h"

#include <cstdlib>
#include <new>

namespace swarmfs::io {

namespace {

std::byte* allocate(size_t size) {
  const size_t whole =
      (size + BufferPool::kAlignment - 1) / BufferPool::kAlignment * BufferPool::kAlignment;
  void* memory = std::aligned_alloc(BufferPool::kAlignment, whole);
  if (!memory) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

}  // namespace

BufferPool::BufferPool(size_t count) {
  auto free = free_.lock();
  for (size_t i = 0; i < count; ++i) {
    all_.push_back(allocate(kBufferSize));
    free->push_back(static_cast<int>(i));
  }
}

BufferPool::~BufferPool() {
  for (auto* memory : all_) std::free(memory);
}

std::shared_ptr<Buffer> BufferPool::take(size_t size) {
  if (size <= kBufferSize) {
    auto free = free_.lock();
    if (!free->empty()) {
      const int slot = free->back();
      free->pop_back();
      free.unlock();
      auto* made = new Buffer{all_[static_cast<size_t>(slot)], kBufferSize, slot};
      return {made, [this](Buffer* buffer) {
                free_.lock()->push_back(buffer->slot);
                delete buffer;
              }};
    }
  }
  auto* made = new Buffer{allocate(size), size, -1};
  return {made, [](Buffer* buffer) {
            std::free(buffer->data);
            delete buffer;
          }};
}

}  // namespace swarmfs::io
