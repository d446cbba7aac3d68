// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/commands.h"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>

#include "cli/daemon_client.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "util/mounts.h"
#include "util/units.h"

namespace swarmfs::cli {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

void print(const Options& options, const json& answer, const std::string& text) {
  const std::string out =
      options.json ? answer.dump(2, ' ', false, json::error_handler_t::replace) + "\n" : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
}

struct Interrupted : CallFailed {
  using CallFailed::CallFailed;
};

/// While it lives, the signals that would end the program are only noted.
class Interruption {
 public:
  Interruption() {
    for (const int signal : kSignals) std::signal(signal, [](int) { came_ = 1; });
  }
  ~Interruption() {
    for (const int signal : kSignals) std::signal(signal, SIG_DFL);
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  static bool came() { return came_ != 0; }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  static inline volatile std::sig_atomic_t came_ = 0;
};

/// Waits for a job's end with progress.
json follow(DaemonClient& daemon, const Options& options, const json& started) {
  const Interruption interruption;
  Progress progress(stderr, options.reference, options.json || options.quiet);
  const std::string id = started.at("job");
  const json job = daemon.follow(id, [&](const json& state) {
    progress.show(state);
    if (!Interruption::came()) return;
    progress.end();
    daemon.call("DELETE", "/v1/jobs/" + id);
    throw Interrupted("interrupted: the daemon was told that nobody waits for it");
  });
  progress.end();
  return job;
}

void throw_error_of(const json& job) {
  if (job.value("state", "") == "failed")
    throw CallFailed(job.at("error").value("message", "failed without a reason"));
}

json finish(DaemonClient& daemon, const Options& options, const json& started) {
  json job = follow(daemon, options, started);
  throw_error_of(job);
  return job;
}

/// A directory by its real path.
std::string target_of(const Options& options) {
  std::error_code error;
  const fs::path path = fs::canonical(options.target, error);
  return percent_encoded(error ? options.target : path.string());
}

void take_back(DaemonClient& daemon, const std::string& call) {
  try {
    daemon.call("DELETE", call);
  } catch (const CallFailed&) {
  }
}

fs::path mount_directory(const std::string& text) {
  std::error_code error;
  const fs::path directory = fs::canonical(text, error);
  if (error || !fs::is_directory(directory))
    throw CallFailed(fmt::format("{} is not a directory (try: mkdir -p {})", text, text));
  return directory;
}

/// What is there already is well where it is what was asked for: "mount -a" is said twice.
void mount_again(DaemonClient& daemon, const Options& options, const fs::path& directory) {
  const json ours =
      daemon.call("GET", "/v1/mounts?reference=" + percent_encoded(options.reference)).at("mounts");
  const auto same = std::find_if(ours.begin(), ours.end(), [&](const json& mount) {
    return mount.value("directory", "") == directory.string();
  });
  if (same == ours.end())
    throw CallFailed(
        fmt::format("something else is mounted on {} already (see: swarmfs ls; try: swarmfs umount "
                    "{})",
                    directory.string(), directory.string()));
  if (same->value("options", "") != options.mount_flags)
    throw CallFailed(fmt::format(
        "{} is mounted on {} already, with other options: '{}' (try: swarmfs umount {})",
        options.reference, directory.string(), same->value("options", ""), directory.string()));
  print(options, {{"result", *same}},
        fmt::format("{} is mounted on {} already\n", options.reference, directory.string()));
}

}  // namespace

void mount(const Options& options) {
  const fs::path directory = mount_directory(options.directory);
  DaemonClient daemon(options.socket);
  if (util::is_mount_point(directory)) return mount_again(daemon, options, directory);
  const json order = {{"reference", options.reference},
                      {"directory", directory.string()},
                      {"platform", options.platform},
                      {"pin", options.pin},
                      {"options", options.mount_flags}};
  const std::string call = "/v1/mounts?directory=" + percent_encoded(directory.string());
  json job;
  try {
    job = finish(daemon, options, daemon.call("POST", "/v1/mounts", order));
    util::bind_read_only(job.at("result").at("image_path").get<std::string>(), directory,
                         util::mount_flags(options.mount_flags).value_or(0));
  } catch (const Interrupted&) {
    take_back(daemon, call);  // it may have been done just then
    throw;
  } catch (const util::SysError&) {
    take_back(daemon, call);
    throw;
  }
  daemon.call("PUT", call);
  print(options, job,
        fmt::format("{} is mounted on {} ({})\n", options.reference, directory.string(),
                    share_text(job.at("bytes_by_source"), job.value("seconds", 0.0))));
}

void umount(const Options& options) {
  const fs::path directory = fs::weakly_canonical(options.directory);
  DaemonClient daemon(options.socket);
  const json mounts = daemon.call("GET", "/v1/mounts").at("mounts");
  const bool ours = std::any_of(mounts.begin(), mounts.end(), [&](const json& mount) {
    return mount.value("directory", "") == directory.string();
  });
  if (!ours)
    throw CallFailed(
        fmt::format("{} is not a mount of swarmfs (see: swarmfs ls)", directory.string()));
  if (util::is_mount_point(directory)) util::detach(directory);
  const json answer =
      daemon.call("DELETE", "/v1/mounts?directory=" + percent_encoded(directory.string()));
  print(options, answer, options.quiet ? "" : fmt::format("{} is unmounted\n", directory.string()));
}

void pull(const Options& options) {
  DaemonClient daemon(options.socket);
  const json order = {{"reference", options.reference}, {"platform", options.platform}};
  const json job = finish(daemon, options, daemon.call("POST", "/v1/pulls", order));
  print(options, job,
        fmt::format("{} is here, every layer checked: {}\n", options.reference,
                    share_text(job.at("bytes_by_source"), job.value("seconds", 0.0))));
}

void preheat(const Options& options) {
  DaemonClient daemon(options.socket);
  const json order = {{"reference", options.reference},
                      {"platform", options.platform},
                      {"nodes", options.nodes},
                      {"zone", options.zone},
                      {"timeout", options.timeout}};
  const json job = follow(daemon, options, daemon.call("POST", "/v1/preheats", order));
  print(options, job, preheat_text(options.reference, job));
  throw_error_of(job);
}

void status(const Options& options) {
  DaemonClient daemon(options.socket);
  if (!options.target.empty()) {
    const json swarms = daemon.call("GET", "/v1/swarms?target=" + target_of(options));
    return print(options, swarms, swarms_text(swarms, true));
  }
  json answer = daemon.call("GET", "/v1/status");
  try {
    answer["swarms"] = daemon.call("GET", "/v1/swarms");
  } catch (const CallFailed& error) {
    answer["swarms"] = {{"error", error.what()}};
  }
  print(options, answer, status_text(answer) + swarms_text(answer["swarms"], options.verbose));
}

void explain(const Options& options) {
  const json answer =
      DaemonClient(options.socket).call("GET", "/v1/explain?target=" + target_of(options));
  print(options, answer, explain_text(answer));
}

void peers(const Options& options) {
  const json answer = DaemonClient(options.socket).call("GET", "/v1/peers");
  print(options, answer, peers_text(answer.at("peers")));
}

void list(const Options& options) {
  DaemonClient daemon(options.socket);
  if (options.layers) {
    const json answer = daemon.call("GET", "/v1/layers");
    return print(options, answer, layers_text(answer.at("layers")));
  }
  const json answer = daemon.call("GET", "/v1/mounts");
  print(options, answer, mounts_text(answer.at("mounts")));
}

void evict(const Options& options) {
  const json answer = DaemonClient(options.socket).call("POST", "/v1/evict");
  print(options, answer,
        fmt::format("{} freed\n", util::human_bytes(answer.value("freed", uint64_t{0}))));
}

}  // namespace swarmfs::cli
