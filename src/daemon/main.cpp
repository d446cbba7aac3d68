// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string_view>

#include "daemon/daemon.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace {

using namespace swarmfs;

constexpr const char* kUsage =
    "usage: swarmfsd [--config FILE] [--check] [--version]\n"
    "  --config FILE  configuration (default /etc/swarmfs/swarmfs.toml; may be absent)\n"
    "  --check        read the configuration and what it names, say what is wrong, and end\n"
    "Signals: HUP takes over what can change at run time (see swarmfs.toml); TERM and INT end it\n"
    "cleanly.\n";

struct Arguments {
  std::filesystem::path config = "/etc/swarmfs/swarmfs.toml";
  bool config_given = false;
  bool check = false;
};

/// Ends the process on --help, --version and on words that make no sense.
Arguments parse_arguments(int count, char** words) {
  Arguments made;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--config" && i + 1 < count) {
      made.config = words[++i];
      made.config_given = true;
    } else if (word == "--check") {
      made.check = true;
    } else if (word == "--version") {
      std::puts("swarmfsd " SWARMFS_VERSION);
      std::exit(0);
    } else {
      const bool help = word == "--help" || word == "-h";
      std::fputs(kUsage, help ? stdout : stderr);
      std::exit(help ? 0 : 2);
    }
  }
  return made;
}

/// Blocks the signals that we wait for, in this thread and those to come.
util::UniqueFd block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return util::UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC));
}

/// Every layer in the cache keeps three files open.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit))
    util::log::warning("cannot open more than {} files", limit.rlim_cur);
}

void wait_for_the_end(int signals, daemon::Daemon& daemon, const Arguments& arguments) {
  signalfd_siginfo info{};
  while (::read(signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGHUP) return;
    try {
      daemon.reload(daemon::load_config(arguments.config, !arguments.config_given));
    } catch (const std::exception& error) {
      util::log::error("not reloaded: {}", error.what());
    }
  }
}

}  // namespace

int main(int count, char** words) try {
  const Arguments arguments = parse_arguments(count, words);
  const auto config = daemon::load_config(arguments.config, !arguments.config_given);
  if (arguments.check) return 0;
  util::log::set_level(config.log_level);
  raise_file_limit();
  const util::UniqueFd signals = block_signals();
  daemon::Daemon daemon(config, daemon::HandedSockets::from_environment());
  util::log::info("swarmfsd {} serves {}", SWARMFS_VERSION, config.mount_point.string());
  sd_notify(0, "READY=1");
  wait_for_the_end(signals.get(), daemon, arguments);
  sd_notify(0, "STOPPING=1");
  util::log::info("swarmfsd ends");
  return 0;
} catch (const std::exception& error) {
  swarmfs::util::log::error("swarmfsd: {}", error.what());
  return 1;
}
