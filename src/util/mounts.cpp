// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/mounts.h"

#include <sys/mount.h>

#include <fstream>
#include <sstream>

#include "util/error.h"

namespace swarmfs::util {

namespace fs = std::filesystem;

void bind_read_only(const fs::path& source, const fs::path& directory) {
  if (::mount(source.c_str(), directory.c_str(), nullptr, MS_BIND, nullptr))
    throw SysError("mount " + source.string() + " on " + directory.string());
  if (::mount(nullptr, directory.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr)) {
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
