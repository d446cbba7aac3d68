// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "util/unique_fd.h"

namespace swarmfs::fuse {

/// A page_reader on a file of the mount; see there. Killed when this dies. One thread at a time,
/// but for signal().
class ReaderProcess {
 public:
  /// Returns when the file is mapped and signals are harmless, but SIGKILL. `offset`: it reads the
  /// page there and ends.
  explicit ReaderProcess(const std::filesystem::path& file, std::optional<size_t> offset = {}) {
    int to[2], from[2];
    if (::pipe2(to, O_CLOEXEC) || ::pipe2(from, O_CLOEXEC)) throw std::runtime_error("pipe");
    util::UniqueFd its_input(to[0]), its_output(from[1]);
    input_.reset(to[1]);
    output_.reset(from[0]);
    std::string program =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "page_reader";
    std::string name = file, at = std::to_string(offset.value_or(0));
    char* words[] = {program.data(), name.data(), offset ? at.data() : nullptr, nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, its_input.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDOUT_FILENO);
    const int error = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, words, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error) throw std::runtime_error(program + " does not start");
    its_input.reset();
    its_output.reset();
    char word = 0;
    if (!read_all(&word, 1)) throw std::runtime_error(program + " cannot map " + name);
  }
  ~ReaderProcess() { die(); }
  ReaderProcess(const ReaderProcess&) = delete;
  ReaderProcess& operator=(const ReaderProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  /// The byte there, or nothing where it cannot be read; without an offset only.
  std::optional<char> touch(uint64_t offset) {
    char answer[2];
    if (::write(input_.get(), &offset, sizeof offset) != sizeof offset || !read_all(answer, 2) ||
        !answer[0])
      return std::nullopt;
    return answer[1];
  }
  /// Kills it, and waits until it is gone: its status.
  int die() {
    int status = 0;
    if (pid_ == 0) return status;
    signal(SIGKILL);
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

 private:
  bool read_all(char* into, size_t size) {
    for (size_t at = 0; at < size;) {
      const ssize_t got = ::read(output_.get(), into + at, size - at);
      if (got <= 0) return false;
      at += static_cast<size_t>(got);
    }
    return true;
  }

  pid_t pid_ = 0;
  util::UniqueFd input_, output_;
};

}  // namespace swarmfs::fuse
