// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "chunk/store.h"
#include "content/data_reader.h"
#include "fetch/fetcher.h"
#include "image/image_library.h"
#include "util/metrics.h"
#include "util/timers.h"

namespace swarmfs::fuse {

struct FrontOptions {
  std::filesystem::path mount_point;
  unsigned threads = 2;
  std::chrono::milliseconds fault_timeout{30'000};
};

/// The FUSE mount of the node. Mounted and served from construction; the destructor answers what
/// waits, unmounts and joins its threads.
class Front {
 public:
  /// Replaces a dead mount of an earlier daemon. Throws util::Error when FUSE is not to be had.
  Front(FrontOptions options, image::ImageLibrary& images, content::DataReader& reader,
        fetch::Fetcher& fetcher, const chunk::Store& store, util::Timers& timers,
        util::Metrics& metrics);
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;
  /// Of FrontOptions, for the reads to come. Any thread.
  void set_fault_timeout(std::chrono::milliseconds timeout);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Lazily unmounts `directory` when its server is dead (ENOTCONN). True: it was.
bool detach_if_dead(const std::filesystem::path& directory);

}  // namespace swarmfs::fuse
