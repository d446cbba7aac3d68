// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/tar_reader.h"

#include <algorithm>
#include <charconv>

#include "layer/bad_layer.h"

namespace swarmfs::layer {

namespace {

constexpr uint64_t kMaxPayload = 1 << 20;
constexpr uint64_t kMaxFile = 1ull << 50;
constexpr uint64_t kMaxXattr = 64 * 1024;  // XATTR_SIZE_MAX

uint64_t padded(uint64_t size) {
  return (size + 511) / 512 * 512;
}

std::string text_field(std::string_view header, size_t at, size_t length) {
  const auto field = header.substr(at, length);
  return std::string(field.substr(0, std::min(field.find('\0'), field.size())));
}

int64_t number_field(std::string_view header, size_t at, size_t length) {
  const auto field = header.substr(at, length);
  if (static_cast<unsigned char>(field[0]) & 0x80) {
    int64_t value = static_cast<unsigned char>(field[0]) == 0xff ? -1 : 0;
    for (size_t i = 1; i < length; ++i) {
      if (value > (INT64_MAX >> 9) || value < -(INT64_MAX >> 9))
        throw BadLayer("a number too large");
      value = value * 256 + static_cast<unsigned char>(field[i]);
    }
    return value;
  }
  uint64_t value = 0;
  for (char c : field) {
    if (c == ' ' || c == '\0') {
      if (value) break;
      continue;
    }
    if (c < '0' || c > '7') throw BadLayer("a header field that is no octal number");
    value = value * 8 + static_cast<uint64_t>(c - '0');
  }
  return static_cast<int64_t>(value);
}

bool checksum_holds(std::string_view header) {
  int64_t sum = 0, signed_sum = 0;
  for (size_t i = 0; i < 512; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : header[i];
    sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  const int64_t stated = number_field(header, 148, 8);
  return stated == sum || stated == signed_sum;
}

uint64_t decimal(std::string_view text, const char* what) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kMaxFile)
    throw BadLayer(std::string("bad number in pax record ") + what);
  return value;
}

void set_time(Inode& inode, std::string_view text) {
  const size_t dot = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, dot);
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), seconds);
  if (error != std::errc() || end != whole.data() + whole.size()) throw BadLayer("bad pax mtime");
  std::string fraction(text.substr(std::min(dot + 1, text.size())));
  fraction.resize(9, '0');
  uint32_t nanos = 0;
  std::from_chars(fraction.data(), fraction.data() + 9, nanos);
  if (whole.starts_with('-') && nanos) {
    --seconds;
    nanos = 1'000'000'000 - nanos;
  }
  inode.mtime_s = seconds;
  inode.mtime_ns = nanos;
}

}  // namespace

void TarReader::feed(util::ByteView bytes) {
  while (!bytes.empty()) bytes = bytes.subspan(feed_some(bytes));
}

size_t TarReader::feed_some(util::ByteView bytes) {
  const size_t take = std::min<uint64_t>(wanted_, bytes.size());
  if (state_ == State::end) {
    position_ += bytes.size();
    return bytes.size();
  }
  if (state_ != State::skip) buffer_ += util::as_text(bytes.first(take));
  position_ += take;
  wanted_ -= take;
  if (wanted_ == 0) on_block();
  return take;
}

void TarReader::on_block() {
  if (state_ == State::header) return on_header();
  if (state_ == State::skip) {
    state_ = State::header;
    wanted_ = 512;
    buffer_.clear();
    return;
  }
  on_payload();
}

void TarReader::collect(State state, uint64_t size) {
  if (size > kMaxPayload)
    throw BadLayer("an extended header of " + std::to_string(size) + " bytes");
  state_ = state;
  payload_ = size;
  wanted_ = padded(size);
  buffer_.clear();
  if (wanted_ == 0) on_payload();
}

void TarReader::on_header() {
  const std::string header = std::move(buffer_);
  buffer_.clear();
  if (header.find_first_not_of('\0') == std::string::npos) {
    state_ = State::end;
    return;
  }
  if (!checksum_holds(header))
    throw BadLayer(seen_entry_ ? "a tar header with a wrong checksum" : "not a tar archive");
  seen_entry_ = true;
  const int64_t size = number_field(header, 124, 12);
  if (size < 0 || static_cast<uint64_t>(size) > kMaxFile) throw BadLayer("an entry of absurd size");
  type_ = header[156];
  const auto length = static_cast<uint64_t>(size);
  if (type_ == 'L') return collect(State::long_name, length);
  if (type_ == 'K') return collect(State::long_link, length);
  if (type_ == 'x') return collect(State::pax, length);
  if (type_ == 'g') return collect(State::global_pax, length);
  inode_ = {};
  inode_.mode = static_cast<uint32_t>(number_field(header, 100, 8)) & 07777;
  inode_.uid = static_cast<uint32_t>(number_field(header, 108, 8));
  inode_.gid = static_cast<uint32_t>(number_field(header, 116, 8));
  inode_.mtime_s = number_field(header, 136, 12);
  path_ = text_field(header, 0, 100);
  link_ = text_field(header, 157, 100);
  const bool ustar = std::string_view(header).substr(257, 6) == std::string_view("ustar\0", 6);
  if (type_ == '3' || type_ == '4') {
    inode_.rdev_major = static_cast<uint32_t>(number_field(header, 329, 8));
    inode_.rdev_minor = static_cast<uint32_t>(number_field(header, 337, 8));
  }
  if (ustar)
    if (const auto prefix = text_field(header, 345, 155); !prefix.empty())
      path_ = prefix + "/" + path_;
  stored_ = length;
  sparse_.clear();
  is_sparse_ = false;
  if (type_ == 'S') {
    buffer_ = header;
    return on_gnu_sparse();
  }
  begin_entry();
}

void TarReader::on_payload() {
  const State state = state_;
  if (state == State::gnu_sparse) return on_gnu_sparse();
  if (state == State::pax_sparse) return on_pax_sparse();
  buffer_.resize(payload_);
  if (state == State::pax) {
    pax_bytes_ += payload_;
    parse_pax(pax_);
  }
  if (state == State::global_pax) {
    global_bytes_ += payload_;
    parse_pax(global_);
  }
  if (pax_bytes_ > kMaxPayload || global_bytes_ > kMaxPayload)
    throw BadLayer("extended headers without end");
  if (state == State::long_name) long_name_ = buffer_.c_str();
  if (state == State::long_link) long_link_ = buffer_.c_str();
  state_ = State::header;
  wanted_ = 512;
  buffer_.clear();
}

void TarReader::parse_pax(Records& into) {
  std::string_view rest = buffer_;
  std::string pending_offset;
  while (!rest.empty() && rest[0] != '\0') {
    uint64_t length = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    const auto digits = static_cast<uint64_t>(end - rest.data());
    if (error != std::errc() || length > rest.size() || length < digits + 3 || *end != ' ' ||
        rest[length - 1] != '\n')
      throw BadLayer("a malformed pax record");
    const std::string_view record = rest.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0)
      throw BadLayer("a pax record without a key");
    const std::string key(record.substr(0, equals)), value(record.substr(equals + 1));
    if (key == "GNU.sparse.offset") {
      pending_offset = value;
    } else if (key == "GNU.sparse.numbytes") {
      auto& map = into["GNU.sparse.map"];
      map += (map.empty() ? "" : ",") + pending_offset + "," + value;
    } else {
      into[key] = value;
    }
    rest.remove_prefix(length);
  }
}

const std::string* TarReader::record(std::string_view key) const {
  for (const Records* records : {&pax_, &global_})
    if (const auto found = records->find(key); found != records->end()) return &found->second;
  return nullptr;
}

void TarReader::apply_pax(Inode& inode) {
  if (const auto* path = record("path")) path_ = *path;
  if (const auto* link = record("linkpath")) link_ = *link;
  if (const auto* size = record("size")) stored_ = decimal(*size, "size");
  if (const auto* uid = record("uid")) inode.uid = static_cast<uint32_t>(decimal(*uid, "uid"));
  if (const auto* gid = record("gid")) inode.gid = static_cast<uint32_t>(decimal(*gid, "gid"));
  if (const auto* mtime = record("mtime")) set_time(inode, *mtime);
  if (const auto* name = record("GNU.sparse.name")) path_ = *name;
  constexpr std::string_view prefix = "SCHILY.xattr.";
  for (const auto& [key, value] : pax_) {
    const auto name = std::string_view(key).substr(std::min(prefix.size(), key.size()));
    // What is the kernel's own (overlayfs keeps its marks there) is not a layer's to say.
    if (!key.starts_with(prefix) || name.starts_with("trusted.")) continue;
    if (value.size() > kMaxXattr) throw BadLayer("an extended attribute that is too long");
    inode.xattrs.emplace_back(name, value);
  }
}

void TarReader::begin_entry() {
  if (!long_name_.empty()) path_ = std::move(long_name_);
  if (!long_link_.empty()) link_ = std::move(long_link_);
  long_name_.clear();
  long_link_.clear();
  apply_pax(inode_);
  inode_.size = stored_;
  if (const auto* real = record("GNU.sparse.realsize")) inode_.size = decimal(*real, "realsize");
  if (const auto* real = record("GNU.sparse.size")) inode_.size = decimal(*real, "sparse size");
  if (const auto* map = record("GNU.sparse.map")) {
    is_sparse_ = true;
    std::string_view rest = *map;
    std::vector<uint64_t> numbers;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      numbers.push_back(decimal(rest.substr(0, comma), "GNU.sparse.map"));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (numbers.size() % 2) throw BadLayer("an odd sparse map");
    for (size_t i = 0; i < numbers.size(); i += 2) sparse_.emplace_back(numbers[i], numbers[i + 1]);
  }
  const auto* major = record("GNU.sparse.major");
  if (major && *major == "1") {
    if (stored_ < 512) throw BadLayer("a sparse file without its map");
    is_sparse_ = true;
    state_ = State::pax_sparse;
    wanted_ = 512;
    buffer_.clear();
    return;
  }
  end_entry();
}

void TarReader::on_gnu_sparse() {
  const bool first = state_ != State::gnu_sparse;
  is_sparse_ = true;
  const std::string block = std::move(buffer_);
  buffer_.clear();
  const size_t start = first ? 386 : 0, count = first ? 4 : 21;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = start + i * 24;
    if (block[at] == '\0') break;
    const int64_t offset = number_field(block, at, 12), length = number_field(block, at + 12, 12);
    if (offset < 0 || length < 0) throw BadLayer("a negative sparse map");
    sparse_.emplace_back(offset, length);
  }
  if (sparse_.size() > 1'000'000) throw BadLayer("a sparse map without end");
  if (first) {
    const int64_t real = number_field(block, 483, 12);
    if (real < 0 || static_cast<uint64_t>(real) > kMaxFile)
      throw BadLayer("a sparse file of absurd size");
    inode_.size = static_cast<uint64_t>(real);
  }
  if (block[first ? 482 : 504]) {
    state_ = State::gnu_sparse;
    wanted_ = 512;
    return;
  }
  const uint64_t real = inode_.size;
  begin_entry();
  inode_.size = real;
}

void TarReader::on_pax_sparse() {
  // Decimal numbers, one a line: how many pairs, then the pairs; padded to 512 bytes.
  std::vector<uint64_t> numbers;
  size_t at = 0;
  while (numbers.empty() || numbers.size() < 1 + 2 * numbers[0]) {
    const size_t line = buffer_.find('\n', at);
    if (line == std::string::npos) {
      if (buffer_.size() >= std::min(kMaxPayload * 16, stored_))
        throw BadLayer("a sparse map without end");
      wanted_ = 512;
      return;
    }
    numbers.push_back(decimal(std::string_view(buffer_).substr(at, line - at), "sparse map"));
    if (numbers[0] > 1'000'000) throw BadLayer("a sparse map without end");
    at = line + 1;
  }
  for (size_t i = 1; i + 1 < numbers.size(); i += 2)
    sparse_.emplace_back(numbers[i], numbers[i + 1]);
  stored_ -= std::min<uint64_t>(buffer_.size(), stored_);
  end_entry();
}

void TarReader::map_file() {
  if (!is_sparse_) {
    inode_.size = stored_;  // whatever records of a sparse file say
    if (inode_.size) inode_.extents.push_back({0, position_, inode_.size});
    return;
  }
  uint64_t at = position_, last = 0;
  for (const auto& [offset, length] : sparse_) {
    if (offset < last || offset > inode_.size || length > inode_.size - offset)
      throw BadLayer("a sparse map that leaves its file");
    if (length > position_ + stored_ - at) throw BadLayer("a sparse map larger than its data");
    if (length) inode_.extents.push_back({offset, at, length});
    at += length;
    last = offset + length;
  }
}

void TarReader::end_entry() {
  bool has_data = false;
  switch (type_) {
    case '1':
      // GNU and POSIX disagree on whether a link may carry data; pax size 0 is what exists.
      has_data = false;
      if (!path_.empty()) files_.add_hard_link(path_, link_, std::move(inode_));
      break;
    case '2':
      if (link_.size() > kLongestPath) throw BadLayer("a symlink that is too long");
      inode_.type = FileType::symlink;
      inode_.symlink_target = link_;
      inode_.size = link_.size();
      files_.add(path_, std::move(inode_));
      break;
    case '3':
    case '4':
    case '6':
      inode_.type = type_ == '3'   ? FileType::char_device
                    : type_ == '4' ? FileType::block_device
                                   : FileType::fifo;
      inode_.size = 0;
      files_.add(path_, std::move(inode_));
      break;
    case '5':
      inode_.type = FileType::directory;
      inode_.size = 0;
      files_.add(path_, std::move(inode_));
      break;
    case '0':
    case '\0':
    case '7':
    case 'S':
      has_data = true;
      if (path_.ends_with('/') && type_ == '\0') {
        inode_.type = FileType::directory;
        inode_.size = 0;
      } else {
        map_file();
      }
      files_.add(path_, std::move(inode_));
      break;
    default:
      throw BadLayer(std::string("an entry of unknown type '") + type_ + "'");
  }
  pax_.clear();
  pax_bytes_ = 0;
  inode_ = {};
  buffer_.clear();
  wanted_ = has_data || type_ == '5' ? padded(stored_) : 0;
  state_ = State::skip;
  if (wanted_ == 0) on_block();
}

void TarReader::finish() {
  if (!seen_entry_ && state_ != State::end && position_ > 0) throw BadLayer("not a tar archive");
  const bool between = state_ == State::header && buffer_.empty();
  if (state_ != State::end && !between) throw BadLayer("the tar archive is truncated");
}

}  // namespace swarmfs::layer
