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

/// 3 takes a quarter longer for 1 % less, 9 makes all of the pass 40 % slower for 7 %.
constexpr int kLevel = 2;

}  // namespace

WindowPacker::WindowPacker()
    : zstd_(ZSTD_createCCtx(), ZSTD_freeCCtx), room_(ZSTD_compressBound(kLongestWindow)) {
  if (!zstd_) throw util::Error("cannot start zstd");
}

WindowHash hash_of_window(util::ByteView plain) {
  const auto digest = util::Sha256::of(plain);
  WindowHash made;
  std::copy_n(digest.bytes().begin(), made.size(), made.begin());
  return made;
}

util::ByteView WindowPacker::pack(util::ByteView plain) {
  assert(!plain.empty() && plain.size() <= kLongestWindow);
  const size_t size = ZSTD_compressCCtx(zstd_.get(), room_.data(), room_.size(), plain.data(),
                                        plain.size(), kLevel);
  if (ZSTD_isError(size)) throw util::Error("cannot compress a window");
  return util::ByteView(room_).first(size);
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
