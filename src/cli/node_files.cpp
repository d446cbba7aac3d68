// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/node_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "util/error.h"
#include "util/file.h"
#include "util/unique_fd.h"

namespace swarmfs::cli {

namespace fs = std::filesystem;

namespace {

void fill(int fd, std::string_view text, const std::string& name) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw util::SysError("write " + name);
    text.remove_prefix(static_cast<size_t>(put));
  }
}

void sync_directory(const fs::path& directory) {
  const util::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get())) throw util::SysError("sync " + directory.string());
}

void make_directories(const fs::path& directory) {
  if (fs::is_directory(directory)) return;
  make_directories(directory.parent_path());
  // Whatever the umask: the runtime may be another user.
  if (::mkdir(directory.c_str(), 0755) == 0) {
    if (::chmod(directory.c_str(), 0755)) throw util::SysError("chmod " + directory.string());
  } else if (errno != EEXIST) {
    throw util::SysError("mkdir " + directory.string());
  }
  sync_directory(directory.parent_path());
}

/// Owner and mode of the file that is replaced; of a new one, what the process gives, and 0644.
void take_after(int fd, const fs::path& file, const std::string& temporary) {
  struct stat facts {};
  const bool replaces = ::stat(file.c_str(), &facts) == 0;
  if (replaces && ::fchown(fd, facts.st_uid, facts.st_gid))
    throw util::SysError("chown " + temporary);
  if (::fchmod(fd, replaces ? facts.st_mode & 07777 : 0644))
    throw util::SysError("chmod " + temporary);
}

void replace_file(const fs::path& file, const std::string& text) {
  const std::string temporary = file.string() + ".swarmfs" + std::to_string(::getpid());
  try {
    const util::UniqueFd fd(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) throw util::SysError("create " + temporary);
    fill(fd.get(), text, temporary);
    take_after(fd.get(), file, temporary);
    if (::fsync(fd.get())) throw util::SysError("sync " + temporary);
    if (::rename(temporary.c_str(), file.c_str()))
      throw util::SysError("rename to " + file.string());
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_directory(file.parent_path());
}

/// `real`: as far as it is there, without links. A link to what is not there is no free place: its
/// aim may be there for the node itself.
void refuse_dangling(const fs::path& real, const fs::path& root) {
  fs::path walked;
  for (const auto& part : real) {
    walked /= part;
    const auto type = fs::symlink_status(walked).type();
    if (type == fs::file_type::not_found) return;
    if (type == fs::file_type::symlink)
      throw util::Error(walked.string() + " is a symbolic link to " +
                        fs::read_symlink(walked).string() + ", which is not there below " +
                        root.string());
  }
}

}  // namespace

NodeFiles::NodeFiles(const fs::path& root) : root_(fs::canonical(root)) {}

fs::path NodeFiles::place(const fs::path& path) const {
  const fs::path real = fs::weakly_canonical(root_ / path.relative_path());
  if (std::mismatch(root_.begin(), root_.end(), real.begin(), real.end()).first != root_.end())
    throw util::Error((root_ / path.relative_path()).string() + " leads out of " + root_.string() +
                      ": " + real.string());
  refuse_dangling(real, root_);
  return real;
}

std::optional<std::string> NodeFiles::read(const fs::path& file) const {
  return util::read_text(place(file));
}

std::vector<std::string> NodeFiles::list(const fs::path& directory) const {
  std::vector<std::string> names;
  const fs::path real = place(directory);
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(real, absent))
    names.push_back(entry.path().filename().string() + (entry.is_directory() ? "/" : ""));
  std::sort(names.begin(), names.end());
  return names;
}

void NodeFiles::apply(const FileChange& change) const {
  if (!change.changes()) return;
  const fs::path file = place(change.file);
  if (change.after) {
    make_directories(file.parent_path());
    return replace_file(file, *change.after);
  }
  util::remove_file_durably(file);
  if (change.remove_directory && ::rmdir(file.parent_path().c_str()) == 0)
    sync_directory(file.parent_path().parent_path());
}

}  // namespace swarmfs::cli
