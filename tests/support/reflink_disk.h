// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/temporary_directory.h"

namespace swarmfs::support {

/// A folder on an XFS of its own, whose files can share blocks, where this process may mount one.
class ReflinkDisk {
 public:
  ReflinkDisk() {
    const auto image = directory_.path() / "image";
    std::filesystem::create_directory(path());
    const std::string quiet = " >/dev/null 2>&1";
    const std::string make = "truncate -s 400M " + image.string() +
                             " && mkfs.xfs -q -m reflink=1 " + image.string() + quiet;
    mounted_ =
        ::geteuid() == 0 && std::system(make.c_str()) == 0 &&
        std::system(("mount -o loop " + image.string() + " " + path().string() + quiet).c_str()) ==
            0;
  }
  ~ReflinkDisk() {
    if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
  }
  ReflinkDisk(const ReflinkDisk&) = delete;
  ReflinkDisk& operator=(const ReflinkDisk&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] std::filesystem::path path() const { return directory_.path() / "disk"; }

 private:
  TemporaryDirectory directory_;
  bool mounted_ = false;
};

}  // namespace swarmfs::support
