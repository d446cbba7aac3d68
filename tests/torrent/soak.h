// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>

#include "soak_node.h"

namespace swarmfs::torrent_test {

/// What this process uses.
struct Footprint {
  static Footprint now();
  size_t anonymous = 0;  ///< bytes of its memory that are no file's
  size_t heap = 0;       ///< bytes of it that are allocated, see live_heap()
  size_t descriptors = 0;
  size_t threads = 0;
};

/// Layers that come, go from one node to another by the bulk lane, and are forgotten, kLayersAtOnce
/// at a time, for ever: of some the giver has but half at first, and of some it loses all in the
/// middle. Both caches are small, so that they evict all the time.
class Soak {
 public:
  static constexpr uint64_t kChunk = 256 * 1024;
  static constexpr uint64_t kLayer = 64 * kChunk;
  static constexpr size_t kLayersAtOnce = 6;

  explicit Soak(const std::filesystem::path& directory);
  ~Soak();
  Soak(const Soak&) = delete;
  Soak& operator=(const Soak&) = delete;

  /// Goes on until so many chunks have come, ends what it has begun, and empties the caches. Throws
  /// std::runtime_error where a chunk is wrong, or where for `patience` nothing comes.
  void run_until(uint64_t chunks, std::chrono::seconds patience);
  [[nodiscard]] uint64_t chunks() const { return chunks_; }

 private:
  class Layer;

  Soak(const std::filesystem::path& directory, const cluster::Token& token);

  void step();
  void empty(chunk::Store& cache);
  void drop_empty();

  SoakNode giver_, taker_;
  uint64_t chunks_ = 0;
  unsigned next_ = 0;
  std::chrono::seconds patience_{};
  std::chrono::steady_clock::time_point moved_;  ///< the latest chunk
  std::list<std::unique_ptr<Layer>> layers_;
};

}  // namespace swarmfs::torrent_test
