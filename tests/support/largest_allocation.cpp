// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "support/largest_allocation.h"

#include <cstdlib>
#include <new>

std::atomic<size_t> swarmfs::support::largest_allocation{0};

void* operator new(size_t size) {
  auto& largest = swarmfs::support::largest_allocation;
  for (size_t seen = largest; seen < size && !largest.compare_exchange_weak(seen, size);) {
  }
  if (void* made = std::malloc(size)) return made;
  throw std::bad_alloc();
}

void operator delete(void* gone) noexcept {
  std::free(gone);
}

void operator delete(void* gone, size_t) noexcept {
  std::free(gone);
}
