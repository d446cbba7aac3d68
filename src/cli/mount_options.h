// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <string_view>

#include "util/outcome.h"

namespace swarmfs::cli {

/// What "-o a,b=c" may say.
struct MountOptions {
  std::string socket;
  std::string platform;
  bool pin = false;
  std::string flags;  ///< what narrows the mount, as util::mount_flags() takes it
};

/// Who wrote the options: mount(8) puts "rw" before all that do not say "ro".
enum class Author { user, mount_8 };

/// The last of options that contradict each other wins (nosuid and suid; noatime, relatime, …).
/// "user", "users", "owner" and "group" stand for what mount(8) says they do. Skipped is what
/// concerns mount(8) and systemd alone (_netdev, nofail, noauto, x-…, comment=…). Refused are
/// unknown ones and, unless mount(8) added it, "rw". Pure.
util::Outcome<MountOptions> parse_mount_options(std::string_view text, Author author);

}  // namespace swarmfs::cli
