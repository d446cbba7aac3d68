// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/bounded.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "util/error.h"
#include "util/unique_fd.h"

namespace swarmfs::cli {

using nlohmann::json;
using util::Failure;
using util::Fault;

namespace {

void put_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put <= 0) return;
    text.remove_prefix(static_cast<size_t>(put));
  }
}

/// A child that nothing can kill would keep open what it has, such as the pipe that our output
/// goes to. Returns where `fd` is now.
int without_standard_streams(int fd) {
  constexpr int kAfterThem = 3;
  const int kept = ::fcntl(fd, F_DUPFD_CLOEXEC, kAfterThem);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int stream = 0; stream < kAfterThem; ++stream)
    if (null < 0 || ::dup2(null, stream) < 0) ::close(stream);
  return kept;
}

[[noreturn]] void be_the_child(const std::function<json()>& work, int pipe) {
  const int fd = without_standard_streams(pipe);
  json said;
  try {
    said["done"] = work();
  } catch (const std::exception& error) {
    said["error"] = error.what();
  }
  put_all(fd, said.dump(-1, ' ', false, json::error_handler_t::replace));
  ::_exit(0);
}

/// False: the time is up.
bool collect(int fd, std::chrono::milliseconds limit, std::string& said) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd ready{fd, POLLIN, 0};
    const int count = left.count() <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left.count()));
    if (count == 0) return false;
    if (count < 0 && errno == EINTR) continue;
    char piece[4096];
    const ssize_t got = ::read(fd, piece, sizeof piece);
    if (got == 0 || (got < 0 && errno != EINTR)) return true;
    if (got > 0) said.append(piece, static_cast<size_t>(got));
  }
}

}  // namespace

util::Outcome<json> in_time(const std::function<json()>& work, std::chrono::milliseconds limit) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC)) throw util::SysError("pipe");
  const util::UniqueFd in(ends[0]);
  util::UniqueFd out(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw util::SysError("fork");
  if (child == 0) be_the_child(work, out.get());
  out.reset();
  std::string said;
  const bool ended = collect(in.get(), limit, said);
  if (!ended) ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, ended ? 0 : WNOHANG);
  if (!ended)
    return Failure{Fault::timed_out, fmt::format("no answer within {:.0f} s",
                                                 std::chrono::duration<double>(limit).count())};
  const json answer = json::parse(said, nullptr, false);
  if (answer.is_object() && answer.contains("done")) return answer["done"];
  return Failure{Fault::unavailable,
                 answer.is_object() ? answer.value("error", "it failed") : "the check ended early"};
}

}  // namespace swarmfs::cli
