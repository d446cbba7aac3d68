// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/mounts.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "util/error.h"

namespace swarmfs::util {

namespace fs = std::filesystem;

std::optional<unsigned long> mount_flags(std::string_view options) {
  static constexpr std::array<std::pair<std::string_view, unsigned long>, 7> kFlags{
      {{"nosuid", MS_NOSUID},
       {"nodev", MS_NODEV},
       {"noexec", MS_NOEXEC},
       {"noatime", MS_NOATIME},
       {"nodiratime", MS_NODIRATIME},
       {"relatime", MS_RELATIME},
       {"strictatime", MS_STRICTATIME}}};
  unsigned long flags = 0;
  while (!options.empty()) {
    const auto option = options.substr(0, options.find(','));
    const auto known = std::find_if(kFlags.begin(), kFlags.end(),
                                    [&](const auto& one) { return one.first == option; });
    if (known == kFlags.end()) return std::nullopt;
    flags |= known->second;
    options.remove_prefix(std::min(option.size() + 1, options.size()));
  }
  return flags;
}

void bind_read_only(const fs::path& source, const fs::path& directory, unsigned long flags) {
  if (::mount(source.c_str(), directory.c_str(), nullptr, MS_BIND, nullptr))
    throw SysError("mount " + source.string() + " on " + directory.string());
  if (::mount(nullptr, directory.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | flags,
              nullptr)) {
    const SysError error("make " + directory.string() + " read-only");
    ::umount2(directory.c_str(), MNT_DETACH);
    throw error;
  }
}

bool is_mount_point(const fs::path& directory) {
  // The kernel writes blank, tab, newline and backslash as octal.
  std::string wanted;
  for (const char c : directory.lexically_normal().string()) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      std::ostringstream octal;
      octal << '\\' << '0' << std::oct << static_cast<int>(c);
      wanted += octal.str();
    } else {
      wanted += c;
    }
  }
  if (wanted.size() > 1 && wanted.ends_with('/')) wanted.pop_back();
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    fields >> id >> parent >> device >> root >> point;
    if (point == wanted) return true;
  }
  return false;
}

void detach(const fs::path& directory) {
  if (::umount2(directory.c_str(), MNT_DETACH)) throw SysError("unmount " + directory.string());
}

}  // namespace swarmfs::util
