// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/mount_options.h"

#include <algorithm>
#include <array>

namespace swarmfs::cli {

namespace {
/// What changes nothing about a read-only mount. nosuid, nodev and noexec would: until they are
/// kept over a restart they are refused, not forgotten.
constexpr std::array<std::string_view, 18> kSkipped = {
    "ro",    "rw",   "defaults", "auto", "noauto", "_netdev", "nofail",     "user", "nouser",
    "users", "exec", "suid",     "dev",  "async",  "noatime", "nodiratime", "sync", "relatime"};
}  // namespace

util::Outcome<MountOptions> parse_mount_options(std::string_view text) {
  MountOptions made;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const std::string_view option = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const auto equals = std::min(option.find('='), option.size());
    const std::string_view key = option.substr(0, equals);
    const std::string value(option.substr(std::min(equals + 1, option.size())));
    if (key == "socket")
      made.socket = value;
    else if (key == "platform")
      made.platform = value;
    else if (key == "pin")
      made.pin = true;
    else if (option.empty() || key.starts_with("x-") ||
             std::find(kSkipped.begin(), kSkipped.end(), key) != kSkipped.end())
      continue;
    else
      return util::Failure{util::Fault::invalid,
                           "unknown mount option '" + std::string(option) +
                               "' (known: socket=PATH, platform=OS/ARCH, pin)"};
  }
  return made;
}

}  // namespace swarmfs::cli
