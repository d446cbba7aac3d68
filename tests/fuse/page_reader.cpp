// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// page_reader FILE [OFFSET]
//   Page faults on a file of a mount, in a process that serves none: a fault that the kernel tries
//   again holds mmap_lock, and a server whose threads need it would wait for itself.
//   Says 'm' when the file is mapped. With OFFSET it reads the page there, and ends;
//   else it answers each offset (8 bytes) with 1 and the byte there, or with 0 0 where that fails.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>

namespace {

bool read_all(int from, void* into, size_t size) {
  for (size_t at = 0; at < size;) {
    const ssize_t got = ::read(from, static_cast<char*>(into) + at, size - at);
    if (got == 0 || (got < 0 && errno != EINTR)) return false;
    if (got > 0) at += static_cast<size_t>(got);
  }
  return true;
}

/// Inside a system call, where a fault that fails is EFAULT instead of SIGBUS.
bool touch(const int (&pipe)[2], const char* page, char& byte) {
  ssize_t wrote = 0;
  do {
    wrote = ::write(pipe[1], page, 1);
  } while (wrote < 0 && errno == EINTR);  // of the pipe; it was before the fault
  return wrote == 1 && read_all(pipe[0], &byte, 1);
}

}  // namespace

int main(int count, char** words) {
  struct sigaction harmless {};
  harmless.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &harmless, nullptr);
  if (count < 2) return 1;
  const int file = ::open(words[1], O_RDONLY);
  struct stat facts {};
  if (file < 0 || ::fstat(file, &facts)) return 1;
  const size_t size = static_cast<size_t>(facts.st_size);
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return 1;
  ::madvise(memory, size, MADV_RANDOM);  // each page is a request of its own
  const char* const bytes = static_cast<const char*>(memory);
  if (::write(STDOUT_FILENO, "m", 1) != 1) return 1;
  if (count > 2) {
    static_cast<void>(
        *static_cast<const volatile char*>(bytes + std::strtoull(words[2], nullptr, 10)));
    return 0;
  }
  int pipe[2];
  if (::pipe(pipe)) return 1;
  for (uint64_t offset = 0; read_all(STDIN_FILENO, &offset, sizeof offset);) {
    char answer[2] = {0, 0};
    answer[0] = touch(pipe, bytes + offset, answer[1]);
    ssize_t wrote = 0;
    while ((wrote = ::write(STDOUT_FILENO, answer, 2)) < 0 && errno == EINTR) {
    }
    if (wrote != 2) return 1;
  }
  return 0;
}
