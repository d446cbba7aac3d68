// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/indexer.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <string>

#include "layer/bad_layer.h"
#include "layer/tar_reader.h"

namespace swarmfs::layer {

namespace {

constexpr size_t kSniff = 4;

bool all_zero(util::ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

/// What all formats share: the tar reader behind, the index in the making.
struct Indexer::Pass {
  explicit Pass(IndexerOptions chosen) : options(std::move(chosen)), tar(files) {}
  virtual ~Pass() = default;
  virtual void feed(util::ByteView bytes) = 0;
  virtual void finish() = 0;

  void emit(util::ByteView space) {
    tar.feed(space);
    if (options.on_space) options.on_space(space);
    index.space_size += space.size();
  }
  [[nodiscard]] bool checkpoint_is_due() const {
    return index.checkpoints.empty() ||
           index.space_size - index.checkpoints.back().space_offset >= options.checkpoint_interval;
  }
  void add(Checkpoint checkpoint, util::ByteView window = {}) {
    auto& all = index.checkpoints;
    if (!all.empty() && all.back().space_offset == checkpoint.space_offset) {
      windows.resize(all.back().window.offset);
      all.pop_back();
    }
    checkpoint.window = {windows.size(), 0};
    if (!window.empty()) {
      const auto packed = packer.pack(window);
      checkpoint.window.length = packed.size();
      checkpoint.window_hash = hash_of_window(window);
      windows.insert(windows.end(), packed.begin(), packed.end());
    }
    all.push_back(checkpoint);
  }
  void hash_windows() {
    for (uint64_t at = 0; at < windows.size(); at += LayerIndex::kWindowsBlock)
      index.windows.push_back(util::Sha256::of(util::ByteView(windows).subspan(
          at, std::min<uint64_t>(LayerIndex::kWindowsBlock, windows.size() - at))));
  }

  IndexerOptions options;
  LayerIndex index;
  util::Bytes windows;
  WindowPacker packer;
  FileTableBuilder files;
  TarReader tar;
};

namespace {

struct PlainPass final : Indexer::Pass {
  using Pass::Pass;
  void feed(util::ByteView bytes) override {
    index.layer_size += bytes.size();
    emit(bytes);
  }
  void finish() override { index.compression = Compression::none; }
};

struct GzipPass final : Indexer::Pass {
  explicit GzipPass(IndexerOptions chosen) : Pass(std::move(chosen)) {
    if (inflateInit2(&stream, 31) != Z_OK) throw util::Error("cannot start zlib");
  }
  ~GzipPass() override { inflateEnd(&stream); }
  GzipPass(const GzipPass&) = delete;
  GzipPass& operator=(const GzipPass&) = delete;

  void feed(util::ByteView bytes) override {
    while (!bytes.empty()) {
      if (between_members) {
        bytes = start_member(bytes);
        continue;
      }
      const size_t used = inflate_some(bytes);
      index.layer_size += used;
      bytes = bytes.subspan(used);
    }
  }

  util::ByteView start_member(util::ByteView bytes) {
    if (padding || (any_member && bytes[0] == std::byte{0})) {
      if (!all_zero(bytes)) throw BadLayer("garbage after the gzip data");
      padding = true;
      index.layer_size += bytes.size();
      return {};
    }
    inflateReset(&stream);
    if (checkpoint_is_due()) add({index.space_size, index.layer_size, 0, true});
    between_members = false;
    any_member = true;
    return bytes;
  }

  size_t inflate_some(util::ByteView bytes) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(std::min<size_t>(bytes.size(), 1u << 30));
    const uInt given = stream.avail_in;
    while (stream.avail_in > 0 || stream.avail_out == 0) {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      const int status = ::inflate(&stream, Z_BLOCK);
      emit(util::ByteView(out).first(out.size() - stream.avail_out));
      if (status == Z_STREAM_END) {
        between_members = true;
        break;
      }
      if (status == Z_BUF_ERROR) break;
      if (status != Z_OK)
        throw BadLayer(std::string("corrupt gzip data: ") +
                       (stream.msg ? stream.msg : "no reason given"));
      if ((stream.data_type & 128) && !(stream.data_type & 64) && checkpoint_is_due())
        note_checkpoint(index.layer_size + (given - stream.avail_in));
    }
    return given - stream.avail_in;
  }

  void note_checkpoint(uint64_t consumed) {
    std::array<std::byte, kLongestWindow> window;
    uInt length = window.size();
    if (inflateGetDictionary(&stream, reinterpret_cast<Bytef*>(window.data()), &length) != Z_OK)
      throw util::Error("zlib gives no window");
    add({index.space_size, consumed, static_cast<uint8_t>(stream.data_type & 7)},
        util::ByteView(window).first(length));
  }

  void finish() override {
    if (!between_members) throw BadLayer("the gzip data is truncated");
    index.compression = Compression::gzip;
  }

  z_stream stream{};
  std::vector<std::byte> out = std::vector<std::byte>(256 * 1024);
  bool between_members = true;
  bool any_member = false;
  bool padding = false;
};

struct ZstdPass final : Indexer::Pass {
  explicit ZstdPass(IndexerOptions chosen) : Pass(std::move(chosen)), stream(ZSTD_createDCtx()) {
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27);
  }
  ~ZstdPass() override { ZSTD_freeDCtx(stream); }
  ZstdPass(const ZstdPass&) = delete;
  ZstdPass& operator=(const ZstdPass&) = delete;

  void feed(util::ByteView bytes) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    bool more = false;
    while (in.pos < in.size || more) {
      if (at_frame_start && in.pos < in.size) {
        if (checkpoint_is_due()) add({index.space_size, index.layer_size + in.pos, 0, true});
        at_frame_start = false;
      }
      ZSTD_outBuffer made{out.data(), out.size(), 0};
      const size_t left = ZSTD_decompressStream(stream, &made, &in);
      if (ZSTD_isError(left))
        throw BadLayer(std::string("corrupt zstd data: ") + ZSTD_getErrorName(left));
      emit(util::ByteView(out).first(made.pos));
      at_frame_start = left == 0;
      more = made.pos == out.size() && left != 0;
    }
    index.layer_size += bytes.size();
  }
  void finish() override {
    if (!at_frame_start) throw BadLayer("the zstd data is truncated");
    index.compression = Compression::zstd;
  }

  ZSTD_DCtx* stream;
  std::vector<std::byte> out = std::vector<std::byte>(256 * 1024);
  bool at_frame_start = true;
};

/// Waits for the first bytes, then becomes the right pass.
struct SniffPass final : Indexer::Pass {
  using Pass::Pass;
  void feed(util::ByteView bytes) override {
    if (!real) {
      head.insert(head.end(), bytes.begin(), bytes.end());
      if (head.size() < kSniff) return;
      choose();
      real->feed(head);
      return;
    }
    real->feed(bytes);
  }
  void choose() {
    const auto at = [&](size_t i) {
      return i < head.size() ? std::to_integer<unsigned>(head[i]) : 0;
    };
    const uint32_t magic = at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24;
    if ((magic & 0xffff) == 0x8b1f)
      real = std::make_unique<GzipPass>(std::move(options));
    else if (magic == 0xfd2fb528 || (magic & 0xfffffff0) == 0x184d2a50)
      real = std::make_unique<ZstdPass>(std::move(options));
    else
      real = std::make_unique<PlainPass>(std::move(options));
  }
  void finish() override {
    if (!real) {
      choose();
      real->feed(head);
    }
    real->finish();
    real->tar.finish();
    real->index.files = real->files.finish();
    real->hash_windows();
  }

  util::Bytes head;
  std::unique_ptr<Pass> real;
};

}  // namespace

Indexer::Indexer(IndexerOptions options) : pass_(std::make_unique<SniffPass>(std::move(options))) {}
Indexer::~Indexer() = default;
void Indexer::feed(util::ByteView compressed) {
  if (!compressed.empty()) pass_->feed(compressed);
}

Indexed Indexer::finish() {
  pass_->finish();
  auto& real = *static_cast<SniffPass&>(*pass_).real;
  return {std::move(real.index), std::move(real.windows)};
}

}  // namespace swarmfs::layer
