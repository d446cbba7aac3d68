// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "chunk/block.h"
#include "util/clock.h"
#include "util/sync.h"

namespace swarmfs::fetch {

/// A unit of a layer that a reader waited for, and when it did so first.
struct Touch {
  util::SteadyTime when;
  uint32_t unit = 0;
};

/// The order in which the parts of a layer are first read by class fault, while recording. Any
/// thread; note() is cheap where there is nothing to note.
class TouchLog {
 public:
  /// What is noted as one: small enough to fetch little in vain, large enough for a short log.
  static constexpr uint64_t kUnit = 4 * chunk::kBlockSize;

  explicit TouchLog(uint64_t layer_size);
  /// Forgets what was noted and records from now on.
  void start();
  void stop() { recording_ = false; }
  void note(util::ByteRange range);
  [[nodiscard]] std::vector<Touch> touches() const { return *touches_.lock(); }

 private:
  std::atomic<bool> recording_{false};
  std::vector<std::atomic<uint64_t>> seen_;  ///< bit i of word i/64: unit i was noted
  util::Sync<std::vector<Touch>> touches_;
};

}  // namespace swarmfs::fetch
