// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cli/node_checks.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "util/units.h"

namespace swarmfs::cli {

using nlohmann::json;
using util::human_bytes;

namespace {

constexpr const char* kLookAtLog = "journalctl -u swarmfs says why";
/// Below it free space is as good as none.
constexpr uint64_t kHardlyAny = 64 << 20;

Finding fuse_device(const FuseFacts& fuse) {
  if (fuse.device_error == 0) return well("fuse device", "/dev/fuse opens, kernel " + fuse.kernel);
  const std::string why = fmt::format("/dev/fuse: {}", std::strerror(fuse.device_error));
  if (fuse.device_error == ENOENT || fuse.device_error == ENODEV || fuse.device_error == ENXIO)
    return failed("fuse device", why, "modprobe fuse; in a container give it --device /dev/fuse");
  if (!fuse.root) return warned("fuse device", why, "run doctor as root");
  return failed("fuse device", why, "in a container give it --device /dev/fuse and CAP_SYS_ADMIN");
}

Finding fuse_tree(const FuseFacts& fuse) {
  const std::string where = fuse.mount_point.string();
  const std::string what = "fuse mount";
  switch (fuse.tree) {
    case FuseFacts::Tree::answers:
      return well(what, where + " is there and answers");
    case FuseFacts::Tree::hangs:
      return failed(what, where + " does not answer: " + fuse.tree_error,
                    "the daemon hangs: systemctl restart swarmfs");
    case FuseFacts::Tree::dead:
      return failed(what, where + " is left from a daemon that is gone: " + fuse.tree_error,
                    "systemctl start swarmfs: its mounts come back");
    case FuseFacts::Tree::strange:
      return failed(what, where + ": " + fuse.tree_error,
                    fuse.root ? kLookAtLog : "run doctor as root");
    case FuseFacts::Tree::absent:
      break;
  }
  if (!fuse.daemon_answers) return warned(what, where + " is not mounted", "no daemon, no mount");
  return failed(what, where + " is no FUSE mount here",
                "not in the daemon's mount namespace? else: systemctl restart swarmfs");
}

std::string line_that_counts(const std::string& conf) {
  for (size_t start = 0; start < conf.size();) {
    const size_t end = std::min(conf.find('\n', start), conf.size());
    std::string line = conf.substr(start, end - start);
    std::erase_if(line, [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
    if (line == "user_allow_other") return line;
    start = end + 1;
  }
  return "";
}

std::string quota_text(const CacheFacts& cache) {
  return fmt::format("{} free for {} of quota", human_bytes(cache.free),
                     human_bytes(cache.quota - std::min(cache.quota, cache.used)));
}

Finding cache_space(const CacheFacts& cache) {
  const uint64_t rest = cache.quota - std::min(cache.quota, cache.used);
  const std::string why = quota_text(cache) + (cache.used > 0 ? " that is left" : "");
  if (cache.free < kHardlyAny && cache.free < rest)
    return failed("cache space", why, "free space there, or lower [cache] quota");
  if (cache.free < rest)
    return warned("cache space", why,
                  "the disk is full before the quota is: lower [cache] quota or free space");
  return well("cache space", why);
}

Findings cache_absent(const CacheFacts& cache) {
  const std::string why = cache.directory.string() + " is not there";
  if (cache.daemon_answers)
    return {failed("cache directory", why + " while the daemon runs", "systemctl restart swarmfs")};
  return {warned("cache directory", why, "swarmfsd makes it when it starts")};
}

/// "4 days", "5 h", "12 min"
std::string duration_text(std::chrono::seconds time) {
  const auto seconds = time.count();
  if (seconds >= 2 * 86'400) return fmt::format("{} days", seconds / 86'400);
  if (seconds >= 2 * 3600) return fmt::format("{} h", seconds / 3600);
  if (seconds >= 120) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} s", seconds);
}

constexpr const char* kHandOverOff =
    "off; layers that containerd pulls past the mirror count with [containerd] address";

/// "namespaces k8s.io, moby"
std::string names_text(const std::vector<std::string>& name_spaces) {
  if (name_spaces.empty()) return "all its namespaces";
  return fmt::format("namespace{} {}", name_spaces.size() > 1 ? "s" : "",
                     fmt::join(name_spaces, ", "));
}

/// A message that says where, after the line has said so.
std::string without_place(const std::string& message, const std::string& place) {
  return message.starts_with(place + ": ") ? message.substr(place.size() + 2) : message;
}

}  // namespace

Findings check_daemon(const DaemonFacts& daemon) {
  if (!daemon.answers())
    return {failed("daemon",
                   "swarmfsd does not answer on " + daemon.socket + ": " +
                       without_place(daemon.status.failure().message, daemon.socket),
                   fmt::format("systemctl start swarmfs; {}; or say --socket", kLookAtLog))};
  const std::string version = daemon.status->value("version", "?");
  const auto why = fmt::format("swarmfsd {} answers on {}, up {}", version, daemon.socket,
                               duration_text(std::chrono::seconds(static_cast<int64_t>(
                                   daemon.status->value("uptime_seconds", 0.0)))));
  if (version != SWARMFS_VERSION)
    return {warned("daemon", fmt::format("{}; this client is {}", why, SWARMFS_VERSION),
                   "systemctl restart swarmfs after an upgrade")};
  return {well("daemon", why)};
}

Findings check_fuse(const FuseFacts& fuse) {
  Findings made{fuse_device(fuse), fuse_tree(fuse)};
  // root's mounts are for everybody without it.
  if (!fuse.root && line_that_counts(fuse.fuse_conf.value_or("")).empty())
    made.push_back(warned("fuse.conf", "/etc/fuse.conf has no line user_allow_other",
                          "add it where swarmfsd does not run as root"));
  return made;
}

Findings check_cache(const CacheFacts& cache) {
  Findings made;
  if (!cache.trouble.empty())
    made.push_back(warned("cache disk", "the daemon says: " + cache.trouble, "see there"));
  if (cache.io_uring_disabled == 2)
    made.push_back(
        failed("io_uring", "kernel.io_uring_disabled is 2", "sysctl kernel.io_uring_disabled=0"));
  const std::string where = cache.directory.string();
  if (!cache.exists) {
    for (auto& one : cache_absent(cache)) made.push_back(std::move(one));
    return made;
  }
  if (!cache.refusal.empty()) {
    made.push_back(failed("cache directory", where + ": " + cache.refusal,
                          "make it writable, give it room, or choose another: [cache] directory"));
  } else {
    made.push_back(well("cache directory", where + " can be written and read"));
    if (!cache.slow.empty())
      made.push_back(warned("cache disk", where + " is slow: a sync: " + cache.slow,
                            "what else writes there, and does the kernel's log name the disk?"));
    if (!cache.sparse)
      made.push_back(failed("cache file system", where + " keeps no sparse files",
                            "use ext4, xfs or btrfs for [cache] directory"));
    if (!cache.direct)
      made.push_back(warned("cache file system", where + " has no O_DIRECT",
                            "it works, with twice the memory: better ext4, xfs or btrfs"));
  }
  made.push_back(cache_space(cache));
  return made;
}

Findings check_identity(const std::optional<IdentityFacts>& identity) {
  const std::string what = "cluster identity";
  if (!identity) return {well("cluster", "none is configured: this node has no peers")};
  if (!identity->error.empty())
    return {failed(what, identity->error, "put that in order, then: systemctl restart swarmfs")};
  const std::string file = identity->file.string();
  Findings made;
  if (identity->open_to_others)
    made.push_back(warned(what, file + " can be read by other users of this node",
                          "chmod 600 " + file + "; who has read it is a member"));
  const std::string node =
      identity->node_id.empty() ? "" : ", node " + identity->node_id.substr(0, 12);
  const auto why =
      fmt::format("{} is valid for {} more{}", file, duration_text(identity->left), node);
  if (identity->issues_its_own)
    made.push_back(well(
        what, fmt::format("{} can be read{}; certificates of 24 h are made from it", file, node)));
  else if (identity->left < std::chrono::hours(24 * 7))
    made.push_back(warned(what, why, "renew it, then: systemctl reload swarmfs"));
  else
    made.push_back(well(what, why));
  return made;
}

Findings check_hand_over(const HandOverFacts& hand_over) {
  const std::string what = "hand-over";
  const auto& report = hand_over.report;
  const std::string restart = "systemctl restart swarmfs";
  if (!hand_over.daemon_answers) {
    if (hand_over.address.empty()) return {well(what, kHandOverOff)};
    return {warned(what, "no layer of " + hand_over.address, "no daemon, no hand-over")};
  }
  if (!report.is_object()) {
    if (hand_over.address.empty()) return {well(what, kHandOverOff)};
    return {warned(what, "[containerd] address is set, and the daemon runs without it", restart)};
  }
  const std::string address = report.value("address", "");
  if (address != hand_over.address)
    return {warned(what,
                   fmt::format("the daemon watches {}, [containerd] address is '{}'", address,
                               hand_over.address),
                   restart)};
  if (const auto trouble = report.find("trouble"); trouble != report.end() && trouble->is_string())
    return {failed(what, fmt::format("{} is not watched: {}", address, trouble->get<std::string>()),
                   "systemctl status containerd; is that its socket? ([containerd] address) the "
                   "daemon tries again by itself")};
  if (const auto refused = report.find("refused"); refused != report.end() && refused->is_string())
    return {warned(what, fmt::format("{} is watched, and nothing is handed over", address),
                   refused->get<std::string>())};
  return {
      well(what, fmt::format("{} is watched, {}; {} layers, {} handed over since start", address,
                             names_text(hand_over.name_spaces), report.value("layers", uint64_t{0}),
                             human_bytes(report.value("bytes", uint64_t{0}))))};
}

}  // namespace swarmfs::cli
