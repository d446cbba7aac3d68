// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace swarmfs::support {

/// A fresh folder that goes with its object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    // Not /tmp, which may be a tmpfs without O_DIRECT.
    std::string name = "/var/tmp/swarmfs-test-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace swarmfs::support
