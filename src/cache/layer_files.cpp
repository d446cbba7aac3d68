// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/layer_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "chunk/block.h"
#include "util/error.h"
#include "util/file.h"
#include "util/log.h"

namespace swarmfs::cache {

namespace {

constexpr std::array<char, 8> kMagic{'s', 'w', 'f', 's', 'b', 'i', 't', '1'};
constexpr uint64_t kVerified = 1, kPinned = 2;

struct Header {
  std::array<char, 8> magic = kMagic;
  std::array<std::byte, 32> digest{};
  uint64_t form = 0;
  uint64_t size = 0;
  uint64_t flags = 0;
  std::array<std::byte, 32> checksum{};
};

std::array<std::byte, 32> checksum(Header header) {
  header.checksum = {};
  return util::Sha256::of(std::as_bytes(std::span(&header, 1))).bytes();
}

size_t words(uint64_t size) {
  return (chunk::block_count(size) + 63) / 64;
}

const char* suffix(chunk::Form form) {
  switch (form) {
    case chunk::Form::bytes:
      return "";
    case chunk::Form::space:
      return ".space";
    case chunk::Form::windows:
      return ".windows";
  }
  return "";
}

util::UniqueFd open_file(const std::filesystem::path& path, int flags) {
  return util::UniqueFd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

}  // namespace

std::optional<LayerFiles::Facts> LayerFiles::peek(const std::filesystem::path& bits_file) {
  const auto content = util::read_file(bits_file);
  Header header;
  if (!content || content->size() < sizeof header) return std::nullopt;
  std::memcpy(&header, content->data(), sizeof header);
  if (header.magic != kMagic || header.checksum != checksum(header) ||
      header.form > static_cast<uint64_t>(chunk::Form::windows))
    return std::nullopt;
  if (content->size() != sizeof header + words(header.size) * 8) return std::nullopt;
  Facts facts{util::Digest(header.digest),     static_cast<chunk::Form>(header.form), header.size,
              (header.flags & kVerified) != 0, (header.flags & kPinned) != 0,         {}};
  facts.bits.resize(words(header.size));
  std::memcpy(facts.bits.data(), content->data() + sizeof header, facts.bits.size() * 8);
  return facts;
}

LayerFiles::LayerFiles(const std::filesystem::path& directory, const util::Digest& digest,
                       chunk::Form form, uint64_t size) {
  const std::string stem = digest.hex() + suffix(form);
  data_path_ = directory / (stem + ".bytes");
  bits_path_ = directory / (stem + ".bits");
  auto known = peek(bits_path_);
  const bool usable = known && known->digest == digest && known->form == form &&
                      known->size == size && std::filesystem::exists(data_path_);
  if (usable) {
    facts_ = std::move(*known);
  } else {
    if (std::filesystem::exists(bits_path_) && std::filesystem::file_size(bits_path_) > 0)
      util::log::warning("cache: the bitmap of {} is unreadable or foreign; its data is dropped",
                         stem);
    std::filesystem::remove(data_path_);
    facts_ = {digest, form, size, false, false, std::vector<uint64_t>(words(size))};
  }
  buffered_ = open_file(data_path_, O_RDWR | O_CREAT);
  if (!buffered_) throw util::SysError("open " + data_path_.string());
  direct_ = open_file(data_path_, O_RDWR | O_DIRECT);
  bits_ = open_file(bits_path_, O_RDWR | O_CREAT);
  if (!bits_) throw util::SysError("open " + bits_path_.string());
  if (!usable) create();
}

void LayerFiles::create() {
  const uint64_t whole = (facts_.size + 4095) / 4096 * 4096;
  if (::ftruncate(buffered_.get(), static_cast<off_t>(whole)))
    throw util::SysError("size " + data_path_.string());
  forget_bits();
  fresh_ = true;
}

void LayerFiles::forget_bits() {
  if (::ftruncate(bits_.get(), 0)) throw util::SysError("reset " + bits_path_.string());
  if (::fdatasync(bits_.get())) throw util::SysError("sync " + bits_path_.string());
}

void LayerFiles::sync_data() {
  if (::fdatasync(buffered_.get())) throw util::SysError("sync " + data_path_.string());
}

void LayerFiles::save_bits(std::span<const uint64_t> bits) {
  Header header;
  header.digest = facts_.digest.bytes();
  header.form = static_cast<uint64_t>(facts_.form);
  header.size = facts_.size;
  header.flags = (facts_.verified ? kVerified : 0) | (facts_.pinned ? kPinned : 0);
  header.checksum = checksum(header);
  util::Bytes content(sizeof header + bits.size_bytes());
  std::memcpy(content.data(), &header, sizeof header);
  std::memcpy(content.data() + sizeof header, bits.data(), bits.size_bytes());
  const ssize_t put = ::pwrite(bits_.get(), content.data(), content.size(), 0);
  if (put < 0) throw util::SysError("write " + bits_path_.string());
  if (put < static_cast<ssize_t>(content.size()))
    throw util::SysError(ENOSPC, "write " + bits_path_.string());
  if (::fdatasync(bits_.get())) throw util::SysError("sync " + bits_path_.string());
}

void LayerFiles::punch(uint64_t offset, uint64_t length) {
  if (::fallocate(buffered_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(offset), static_cast<off_t>(length)) &&
      errno != EOPNOTSUPP)
    throw util::SysError("punch " + data_path_.string());
}

void LayerFiles::remove() {
  for (const auto& path : {bits_path_, data_path_}) {
    std::error_code code;
    std::filesystem::remove(path, code);
    if (code) throw util::SysError(code.value(), "remove " + path.string());
  }
}

}  // namespace swarmfs::cache
