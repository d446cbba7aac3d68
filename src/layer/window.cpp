// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/window.h"

#include <zstd.h>

#include <algorithm>
#include <cassert>

#include "util/digest.h"
#include "util/error.h"

namespace swarmfs::layer {

namespace {

constexpr int kLevel = 3;  // 9 indexes 40 % slower for 6 % less

}  // namespace

WindowHash hash_of_window(util::ByteView plain) {
  const auto digest = util::Sha256::of(plain);
  WindowHash made;
  std::copy_n(digest.bytes().begin(), made.size(), made.begin());
  return made;
}

util::Bytes pack_window(util::ByteView plain) {
  assert(!plain.empty() && plain.size() <= kLongestWindow);
  util::Bytes room(ZSTD_compressBound(plain.size()));
  const size_t size = ZSTD_compress(room.data(), room.size(), plain.data(), plain.size(), kLevel);
  if (ZSTD_isError(size)) throw util::Error("cannot compress a window");
  room.resize(size);
  return room;
}

std::optional<util::Bytes> unpack_window(util::ByteView packed) {
  const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == 0 || size > kLongestWindow) return std::nullopt;  // also what stands for an error
  util::Bytes plain(size);
  if (ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size()) != size)
    return std::nullopt;
  return plain;
}

}  // namespace swarmfs::layer
