// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "util/error.h"
#include "util/unique_fd.h"

namespace swarmfs::util {

namespace {

template <class Container>
std::optional<Container> read_all(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw SysError("open " + path.string());
  }
  struct stat facts {};
  if (::fstat(fd.get(), &facts)) throw SysError("stat " + path.string());
  Container content;
  // Up to its end, whatever its size says: of files in /proc that is 0.
  content.resize(static_cast<size_t>(facts.st_size) + 1);
  size_t done = 0;
  for (;;) {
    if (done == content.size()) content.resize(std::max<size_t>(2 * done, 4096));
    const ssize_t got = ::read(fd.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SysError("read " + path.string());
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

void write_all(int fd, ByteView content, const std::string& name) {
  while (!content.empty()) {
    const ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw SysError("write " + name);
    content = content.subspan(static_cast<size_t>(put));
  }
}

void sync_directory_of(const std::filesystem::path& path) {
  const UniqueFd directory(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

}  // namespace

std::optional<Bytes> read_file(const std::filesystem::path& path) {
  return read_all<Bytes>(path);
}

std::optional<std::string> read_text(const std::filesystem::path& path) {
  return read_all<std::string>(path);
}

void write_file_durably(const std::filesystem::path& path, ByteView content, unsigned mode) {
  static std::atomic<unsigned> serial{0};
  const std::string temporary =
      path.string() + ".tmp" + std::to_string(::getpid()) + "." + std::to_string(serial++);
  try {
    const UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!fd) throw SysError("create " + temporary);
    write_all(fd.get(), content, temporary);
    if (::fdatasync(fd.get())) throw SysError("sync " + temporary);
    if (::rename(temporary.c_str(), path.c_str())) throw SysError("rename to " + path.string());
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_directory_of(path);
}

void remove_file_durably(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) && errno != ENOENT) throw SysError("remove " + path.string());
  sync_directory_of(path);
}

}  // namespace swarmfs::util
