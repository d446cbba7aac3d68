// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "util/units.h"

namespace swarmfs::support {

/// Writes ustar archives for tests.
class TarMaker {
 public:
  TarMaker& file(const std::string& path, const std::string& content, unsigned mode = 0644) {
    return entry(path, '0', content, "", mode);
  }
  TarMaker& directory(const std::string& path, unsigned mode = 0755) {
    return entry(path, '5', "", "", mode);
  }
  TarMaker& symlink(const std::string& path, const std::string& target) {
    return entry(path, '2', "", target, 0777);
  }
  TarMaker& hard_link(const std::string& path, const std::string& target) {
    return entry(path, '1', "", target, 0644);
  }
  /// Of any type; 'x' with pax records as its content, 'L' with a long name.
  TarMaker& typed(char type, const std::string& path, const std::string& content) {
    return entry(path, type, content, "", 0644);
  }
  /// A header of pax records for the entry that follows.
  TarMaker& pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string made;
    for (const auto& [key, value] : records) {
      const size_t rest = key.size() + value.size() + 3;
      size_t length = rest + 1;
      while (length != rest + std::to_string(length).size()) ++length;
      made += std::to_string(length) + " " + key + "=" + value + "\n";
    }
    return typed('x', "pax", made);
  }
  [[nodiscard]] std::string finish() const { return out_ + std::string(1024, '\0'); }

 private:
  TarMaker& entry(const std::string& path, char type, const std::string& content,
                  const std::string& link, unsigned mode) {
    std::array<char, 512> header{};
    std::memcpy(header.data(), path.data(), std::min<size_t>(path.size(), 100));
    std::snprintf(header.data() + 100, 8, "%07o", mode);
    std::snprintf(header.data() + 108, 8, "%07o", 1000u);
    std::snprintf(header.data() + 116, 8, "%07o", 2000u);
    std::snprintf(header.data() + 124, 12, "%011llo",
                  static_cast<unsigned long long>(content.size()));
    std::snprintf(header.data() + 136, 12, "%011o", 1700000000u);
    std::memset(header.data() + 148, ' ', 8);
    header[156] = type;
    std::memcpy(header.data() + 157, link.data(), std::min<size_t>(link.size(), 100));
    std::memcpy(header.data() + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    std::snprintf(header.data() + 148, 8, "%06o", sum);
    out_.append(header.data(), header.size());
    out_ += content;
    out_.append((512 - content.size() % 512) % 512, '\0');
    return *this;
  }
  std::string out_;
};

inline std::string gzip(const std::string& plain) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));  // NOLINT: zlib
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string zstd(const std::string& plain) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  return out;
}

/// Half compressible, the same for the same seed.
inline std::string noise(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string made(size, '\0');
  for (auto& c : made) c = static_cast<char>(random() % 16 + 'a');
  return made;
}

}  // namespace swarmfs::support
