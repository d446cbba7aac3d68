// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "util/outcome.h"

namespace swarmfs::cli {

/// What "-o a,b=c" of mount(8) may say to mount.swarmfs.
struct MountOptions {
  std::string socket;
  std::string platform;
  bool pin = false;
};

/// Options that mount(8) handles itself or that say what is so anyway (ro, _netdev, x-…, noauto …)
/// are skipped, "rw" too (mount(8) says it by itself; the mount is read-only); unknown ones are
/// refused. Pure.
util::Outcome<MountOptions> parse_mount_options(std::string_view text);

}  // namespace swarmfs::cli
