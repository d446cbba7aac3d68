// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/layer_index.h"

#include <zstd.h>

#include <array>
#include <cstring>

#include "layer/bad_layer.h"
#include "util/digest.h"

namespace swarmfs::layer {

using util::Bytes;
using util::ByteView;
using util::Failure;
using util::Fault;

namespace {

constexpr std::string_view kMagic = "swfsidx3";
constexpr size_t kDigestSize = 32;
constexpr uint64_t kMaxBody = 4ull << 30;
constexpr uint64_t kSmallBody = 64 << 20;
constexpr uint64_t kMaxRatio = 256;  ///< of a body that is not small, to its packed form
constexpr size_t kDeepest = 2048;

class Writer {
 public:
  void number(uint64_t value) {
    while (value >= 0x80) {
      out_.push_back(static_cast<std::byte>(value | 0x80));
      value >>= 7;
    }
    out_.push_back(static_cast<std::byte>(value));
  }
  void signed_number(int64_t value) {
    number(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
  }
  void bytes(ByteView view) {
    number(view.size());
    out_.insert(out_.end(), view.begin(), view.end());
  }
  void text(std::string_view view) { bytes(util::as_bytes(view)); }
  void raw(ByteView view) { out_.insert(out_.end(), view.begin(), view.end()); }
  Bytes take() { return std::move(out_); }

 private:
  Bytes out_;
};

class Reader {
 public:
  explicit Reader(ByteView in) : in_(in) {}
  uint64_t number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = std::to_integer<uint64_t>(next());
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw BadLayer("a number without end");
  }
  uint32_t number32() {
    const uint64_t value = number();
    if (value > UINT32_MAX) throw BadLayer("a number out of range");
    return static_cast<uint32_t>(value);
  }
  /// A count of things that take at least `least` bytes each: they cannot exceed what is left.
  size_t count(size_t least) { return count_of(number(), least); }
  [[nodiscard]] size_t count_of(uint64_t value, size_t least) const {
    if (value > in_.size() / least) throw BadLayer("a count out of range");
    return value;
  }
  int64_t signed_number() {
    const uint64_t value = number();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  ByteView bytes() { return raw(count(1)); }
  ByteView raw(size_t length) {
    if (length > in_.size()) throw BadLayer("it ends early");
    const ByteView view = in_.first(length);
    in_ = in_.subspan(length);
    return view;
  }
  template <size_t Length>
  std::array<std::byte, Length> array() {
    std::array<std::byte, Length> made;
    std::memcpy(made.data(), raw(Length).data(), Length);
    return made;
  }
  std::string text() { return std::string(util::as_text(bytes())); }
  [[nodiscard]] bool at_end() const { return in_.empty(); }

 private:
  std::byte next() {
    if (in_.empty()) throw BadLayer("it ends early");
    const std::byte byte = in_[0];
    in_ = in_.subspan(1);
    return byte;
  }
  ByteView in_;
};

void write_inode(Writer& out, const Inode& inode) {
  out.number(static_cast<uint64_t>(inode.type));
  out.number(inode.mode | (inode.implied ? 1u << 16 : 0) | (inode.opaque ? 1u << 17 : 0));
  out.number(inode.uid);
  out.number(inode.gid);
  out.number(inode.size);
  out.signed_number(inode.mtime_s);
  out.number(inode.mtime_ns);
  out.number(inode.rdev_major);
  out.number(inode.rdev_minor);
  out.number(inode.links);
  out.text(inode.symlink_target);
  out.number(inode.extents.size());
  for (const auto& extent : inode.extents) {
    out.number(extent.file_offset);
    out.number(extent.space_offset);
    out.number(extent.length);
  }
  out.number(inode.xattrs.size());
  for (const auto& [name, value] : inode.xattrs) {
    out.text(name);
    out.text(value);
  }
}

Inode read_inode(Reader& in, uint64_t space_size) {
  Inode inode;
  const uint64_t type = in.number();
  if (type > static_cast<uint64_t>(FileType::fifo)) throw BadLayer("an unknown file type");
  inode.type = static_cast<FileType>(type);
  const uint32_t mode = in.number32();
  inode.mode = mode & 07777;
  inode.implied = mode >> 16 & 1;
  inode.opaque = mode >> 17 & 1;
  inode.uid = in.number32();
  inode.gid = in.number32();
  inode.size = in.number();
  inode.mtime_s = in.signed_number();
  inode.mtime_ns = in.number32();
  inode.rdev_major = in.number32();
  inode.rdev_minor = in.number32();
  inode.links = in.number32();
  inode.symlink_target = in.text();
  inode.extents.resize(in.count(3));
  uint64_t last = 0;
  for (auto& extent : inode.extents) {
    extent = {in.number(), in.number(), in.number()};
    if (extent.file_offset < last || extent.file_offset > inode.size ||
        extent.length > inode.size - extent.file_offset || extent.space_offset > space_size ||
        extent.length > space_size - extent.space_offset)
      throw BadLayer("an extent out of bounds");
    last = extent.file_offset + extent.length;
  }
  const size_t xattrs = in.count(2);
  for (size_t i = 0; i < xattrs; ++i) {
    std::string name = in.text();
    inode.xattrs.emplace_back(std::move(name), in.text());
  }
  return inode;
}

void write_files(Writer& out, const FileTable& files) {
  out.number(files.size());
  for (InodeIndex i = 0; i < files.size(); ++i) write_inode(out, files.inode(i));
  for (InodeIndex i = 0; i < files.size(); ++i) {
    out.number(files.children(i).size());
    for (const auto& child : files.children(i)) {
      out.text(child.name);
      out.number(child.inode);
    }
    out.number(files.whiteouts(i).size());
    for (const auto& name : files.whiteouts(i)) out.text(name);
  }
  out.number(files.foreign_links().size());
  for (const auto& link : files.foreign_links()) {
    out.number(link.parent);
    out.text(link.name);
    out.text(link.target_path);
  }
}

/// Trees are walked by recursion, so what a peer sends must not be deeper than a path can be long.
void check_depth(const std::vector<FileTable::Directory>& directories,
                 const std::vector<Inode>& inodes) {
  std::vector<InodeIndex> level{0};
  for (size_t depth = 0; !level.empty(); ++depth) {
    if (depth > kDeepest) throw BadLayer("a tree without end");
    std::vector<InodeIndex> next;
    for (const InodeIndex at : level)
      for (const auto& child : directories[at].children)
        if (inodes[child.inode].type == FileType::directory) next.push_back(child.inode);
    level = std::move(next);
  }
}

bool is_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string_view::npos;
}

FileTable read_files(Reader& in, uint64_t space_size) {
  constexpr size_t numbers = 13;  // of an inode, and nothing else
  const size_t count = in.count(numbers);
  if (count == 0) throw BadLayer("no root");
  std::vector<Inode> inodes;
  inodes.reserve(count);
  for (size_t i = 0; i < count; ++i) inodes.push_back(read_inode(in, space_size));
  if (inodes[0].type != FileType::directory) throw BadLayer("the root is no directory");
  std::vector<bool> has_parent(count);
  std::vector<FileTable::Directory> directories(count);
  for (size_t i = 0; i < count; ++i) {
    directories[i].children.resize(in.count(3));
    for (size_t k = 0; k < directories[i].children.size(); ++k) {
      auto& child = directories[i].children[k];
      child = {in.text(), in.number32()};
      // Makers number a directory after its parent was made, so links upwards are loops.
      const bool is_directory =
          child.inode < count && inodes[child.inode].type == FileType::directory;
      if (child.inode == 0 || child.inode >= count || (is_directory && has_parent[child.inode]) ||
          (k > 0 && directories[i].children[k - 1].name >= child.name) || !is_name(child.name))
        throw BadLayer("a directory that makes no sense");
      if (is_directory) has_parent[child.inode] = true;
    }
    directories[i].whiteouts.resize(in.count(1));
    for (auto& name : directories[i].whiteouts) name = in.text();
    if (inodes[i].type != FileType::directory && !directories[i].children.empty())
      throw BadLayer("a file with children");
  }
  check_depth(directories, inodes);
  std::vector<ForeignLink> foreign(in.count(3));
  for (auto& link : foreign) {
    link.parent = in.number32();
    link.name = in.text();
    link.target_path = in.text();
    if (link.parent >= count || inodes[link.parent].type != FileType::directory)
      throw BadLayer("a link without a parent");
    if (!is_name(link.name)) throw BadLayer("a link without a name");
  }
  return {std::move(inodes), std::move(directories), std::move(foreign)};
}

uint64_t windows_blocks(uint64_t size) {
  return (size + LayerIndex::kWindowsBlock - 1) / LayerIndex::kWindowsBlock;
}

void read_checkpoints(Reader& in, LayerIndex& index) {
  index.checkpoints.resize(in.count(4));
  uint64_t windows = 0;
  const Checkpoint* before = nullptr;
  for (auto& checkpoint : index.checkpoints) {
    checkpoint.space_offset = in.number();
    checkpoint.bytes_offset = in.number();
    const uint32_t flags = in.number32();
    checkpoint.bits = flags & 7;
    checkpoint.member_start = flags >> 3 & 1;
    checkpoint.window = {windows, in.number()};
    if (checkpoint.window.length > 2 * kLongestWindow) throw BadLayer("a window out of bounds");
    windows = checkpoint.window.end();
    if (!checkpoint.window.empty()) checkpoint.window_hash = in.array<sizeof(WindowHash)>();
    const bool ascending = before ? checkpoint.space_offset > before->space_offset &&
                                        checkpoint.bytes_offset >= before->bytes_offset
                                  : checkpoint.space_offset == 0;
    if (!ascending || checkpoint.space_offset > index.space_size ||
        checkpoint.bytes_offset > index.layer_size ||
        (checkpoint.bits && !checkpoint.bytes_offset) ||
        (!checkpoint.window.empty() &&
         (checkpoint.member_start || index.compression != Compression::gzip)))
      throw BadLayer("a checkpoint out of bounds");
    before = &checkpoint;
  }
  index.windows.reserve(in.count_of(windows_blocks(windows), kDigestSize));
  for (uint64_t i = 0; i < windows_blocks(windows); ++i)
    index.windows.emplace_back(in.array<kDigestSize>());
  if (index.checkpoints.empty() != (index.compression == Compression::none))
    throw BadLayer("checkpoints that do not fit the compression");
}

Bytes compress(ByteView body) {
  Bytes out(ZSTD_compressBound(body.size()));
  const size_t size = ZSTD_compress(out.data(), out.size(), body.data(), body.size(), 1);
  if (ZSTD_isError(size)) throw util::Error("cannot compress a layer index");
  out.resize(size);
  return out;
}

Bytes decompress(ByteView packed) {
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size > kMaxBody || (size > kSmallBody && size / kMaxRatio > packed.size()))
    throw BadLayer("a body of absurd size");
  Bytes out(size);
  const size_t got = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) || got != size) throw BadLayer("a body that does not decompress");
  return out;
}

LayerIndex read_body(ByteView body) {
  Reader in(body);
  LayerIndex index;
  const uint64_t compression = in.number();
  if (compression > static_cast<uint64_t>(Compression::zstd))
    throw BadLayer("an unknown compression");
  index.compression = static_cast<Compression>(compression);
  index.layer_size = in.number();
  index.space_size = in.number();
  if (index.compression == Compression::none && index.space_size > index.layer_size)
    throw BadLayer("more data than bytes");
  index.files = read_files(in, index.space_size);
  read_checkpoints(in, index);
  if (!in.at_end()) throw BadLayer("bytes after its end");
  return index;
}

}  // namespace

Bytes LayerIndex::serialize() const {
  Writer body;
  body.number(static_cast<uint64_t>(compression));
  body.number(layer_size);
  body.number(space_size);
  write_files(body, files);
  body.number(checkpoints.size());
  for (const auto& checkpoint : checkpoints) {
    body.number(checkpoint.space_offset);
    body.number(checkpoint.bytes_offset);
    body.number(checkpoint.bits | (checkpoint.member_start ? 8u : 0u));
    body.number(checkpoint.window.length);
    if (!checkpoint.window.empty()) body.raw(checkpoint.window_hash);
  }
  for (const auto& block : windows) body.raw(block.bytes());
  const auto magic = util::as_bytes(kMagic);
  Bytes document(magic.begin(), magic.end());
  const Bytes packed = compress(body.take());
  document.insert(document.end(), packed.begin(), packed.end());
  const auto digest = util::Sha256::of(document);
  document.insert(document.end(), digest.bytes().begin(), digest.bytes().end());
  return document;
}

bool LayerIndex::recognises(ByteView document) {
  return document.size() >= kMagic.size() && util::as_text(document.first(kMagic.size())) == kMagic;
}

util::Outcome<LayerIndex> LayerIndex::parse(ByteView document) {
  try {
    if (document.size() < kMagic.size() + kDigestSize || !recognises(document))
      throw BadLayer("another version or not an index");
    const ByteView checked = document.first(document.size() - kDigestSize);
    const auto digest = util::Sha256::of(checked);
    if (std::memcmp(digest.bytes().data(), document.last(kDigestSize).data(), kDigestSize) != 0)
      throw BadLayer("a wrong checksum");
    return read_body(decompress(checked.subspan(kMagic.size())));
  } catch (const BadLayer& bad) {
    return Failure{Fault::corrupt, std::string("unreadable layer index: ") + bad.what()};
  }
}

}  // namespace swarmfs::layer
