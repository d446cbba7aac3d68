// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "layer/layer_index.h"

namespace swarmfs::layer {

using util::ByteRange;
using util::Bytes;
using util::ByteView;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

Failure corrupt(const std::string& why) {
  return {Fault::corrupt, "cannot inflate a span: " + why};
}

struct GzipStream {
  z_stream stream{};
  bool started = false;
  ~GzipStream() {
    if (started) inflateEnd(&stream);
  }
};

/// Puts the stream where the checkpoint stands. `compressed` loses the byte that gave the bits.
bool position(GzipStream& gzip, const Checkpoint& from, ByteView window, ByteView& compressed) {
  const int window_bits = from.member_start ? 31 : -15;
  if (inflateInit2(&gzip.stream, window_bits) != Z_OK) return false;
  gzip.started = true;
  if (from.member_start) return true;
  if (from.bits) {
    if (compressed.empty()) return false;
    const int value = std::to_integer<int>(compressed[0]) >> (8 - from.bits);
    compressed = compressed.subspan(1);
    if (inflatePrime(&gzip.stream, from.bits, value) != Z_OK) return false;
  }
  return window.empty() ||
         inflateSetDictionary(&gzip.stream, reinterpret_cast<const Bytef*>(window.data()),
                              static_cast<uInt>(window.size())) == Z_OK;
}

Outcome<Bytes> inflate_gzip(const Checkpoint& from, ByteView window, ByteView compressed,
                            size_t wanted) {
  GzipStream gzip;
  if (!position(gzip, from, window, compressed)) return corrupt("zlib refuses the checkpoint");
  auto& stream = gzip.stream;
  bool raw = !from.member_start;
  Bytes out(wanted);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(wanted);
  while (stream.avail_out > 0) {
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    if (status == Z_STREAM_END && stream.avail_out > 0) {
      constexpr uInt trailer = 8;  // CRC and length, which raw inflate leaves alone
      if (raw) {
        if (stream.avail_in < trailer) return corrupt("a gzip member ends early");
        stream.avail_in -= trailer;
        stream.next_in += trailer;
      }
      raw = false;
      if (inflateReset2(&stream, 31) != Z_OK) return corrupt("zlib refuses the next member");
      continue;
    }
    if (status == Z_STREAM_END) break;
    if (status != Z_OK) return corrupt(stream.msg ? stream.msg : "too few bytes");
  }
  return out;
}

Outcome<Bytes> inflate_zstd(ByteView compressed, size_t wanted) {
  struct Context {
    ZSTD_DCtx* context = ZSTD_createDCtx();
    ~Context() { ZSTD_freeDCtx(context); }
  } owner;
  ZSTD_DCtx_setParameter(owner.context, ZSTD_d_windowLogMax, 27);
  Bytes out(wanted);
  ZSTD_inBuffer in{compressed.data(), compressed.size(), 0};
  ZSTD_outBuffer made{out.data(), out.size(), 0};
  while (made.pos < made.size) {
    const size_t before = made.pos + in.pos;
    const size_t left = ZSTD_decompressStream(owner.context, &made, &in);
    if (ZSTD_isError(left)) return corrupt(ZSTD_getErrorName(left));
    if (made.pos + in.pos == before) return corrupt("too few bytes");
  }
  return out;
}

}  // namespace

bool LayerIndex::seekable() const {
  return why_not_seekable().empty();
}

std::string LayerIndex::why_not_seekable() const {
  uint64_t longest = 0;
  for (size_t i = 0; i < checkpoints.size(); ++i) longest = std::max(longest, span(i).space.length);
  if (longest <= kMaxSpan) return "";
  return std::string(to_string(compression)) + " in one piece of " + util::human_bytes(longest) +
         " cannot be inflated from the middle";
}

Span LayerIndex::span(size_t index) const {
  const Checkpoint& from = checkpoints.at(index);
  const bool last = index + 1 == checkpoints.size();
  const uint64_t space_end = last ? space_size : checkpoints[index + 1].space_offset;
  const uint64_t bytes_end = last ? layer_size : checkpoints[index + 1].bytes_offset;
  const uint64_t bytes_start = from.bytes_offset - (from.bits ? 1 : 0);
  return {index,
          {from.space_offset, space_end - from.space_offset},
          {bytes_start, bytes_end - bytes_start}};
}

std::vector<Span> LayerIndex::spans(ByteRange space) const {
  space = space.clamp(space_size);
  std::vector<Span> made;
  if (space.empty()) return made;
  auto at = std::upper_bound(
      checkpoints.begin(), checkpoints.end(), space.offset,
      [](uint64_t offset, const Checkpoint& c) { return offset < c.space_offset; });
  for (auto i = static_cast<size_t>(at - checkpoints.begin()) - 1;
       i < checkpoints.size() && checkpoints[i].space_offset < space.end(); ++i)
    made.push_back(span(i));
  return made;
}

uint64_t LayerIndex::windows_size() const {
  return checkpoints.empty() ? 0 : checkpoints.back().window.end();
}

ByteRange LayerIndex::windows_for(ByteRange bytes) const {
  if (checkpoints.empty() || bytes.empty()) return {};
  const auto after = [](uint64_t offset, const Checkpoint& c) { return offset < c.bytes_offset; };
  auto first = std::upper_bound(checkpoints.begin(), checkpoints.end(), bytes.offset, after);
  if (first != checkpoints.begin()) --first;
  auto end = std::upper_bound(first, checkpoints.end(), bytes.end() - 1, after);
  if (end == first) ++end;
  const uint64_t start = first->window.offset;
  return {start, std::prev(end)->window.end() - start};
}

Outcome<Bytes> LayerIndex::unpack(size_t checkpoint, ByteView window) const {
  const Checkpoint& from = checkpoints.at(checkpoint);
  if (from.window.empty()) return Bytes();
  auto plain = unpack_window(window);
  if (!plain || hash_of_window(*plain) != from.window_hash) return corrupt("a wrong window");
  return std::move(*plain);
}

bool LayerIndex::says_the_same(const LayerIndex& other) const {
  const auto same = [](const Checkpoint& a, const Checkpoint& b) {
    return a.space_offset == b.space_offset && a.bytes_offset == b.bytes_offset &&
           a.bits == b.bits && a.member_start == b.member_start && a.window_hash == b.window_hash;
  };
  return compression == other.compression && layer_size == other.layer_size &&
         space_size == other.space_size && files == other.files &&
         std::equal(checkpoints.begin(), checkpoints.end(), other.checkpoints.begin(),
                    other.checkpoints.end(), same);
}

Outcome<Bytes> LayerIndex::inflate(const Span& span, ByteView compressed, ByteView window) const {
  if (compressed.size() != span.bytes.length) return corrupt("the wrong number of bytes");
  if (span.space.length > kMaxSpan) return corrupt("too long to be inflated at once");
  if (compression == Compression::gzip)
    return inflate_gzip(checkpoints.at(span.index), window, compressed, span.space.length);
  return inflate_zstd(compressed, span.space.length);
}

}  // namespace swarmfs::layer
