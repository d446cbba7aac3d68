// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <malloc.h>

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
/// <sanitizer/allocator_interface.h>, which Debian's GCC comes without.
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace swarmfs::torrent_test {

/// Bytes that this program has asked for and not given back, libtorrent's among them.
inline size_t live_heap() {
#ifdef __SANITIZE_ADDRESS__
  return __sanitizer_get_current_allocated_bytes();
#else
  const auto heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
#endif
}

}  // namespace swarmfs::torrent_test
