// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "cli/bounded.h"
#include "cli/node_probe.h"
#include "cluster/identity.h"
#include "util/error.h"
#include "util/file.h"
#include "util/unique_fd.h"

namespace swarmfs::cli {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr long kFuseMagic = 0x65735546;
constexpr size_t kProbeBytes = 4096;
/// Of a file that is written near its end only.
constexpr off_t kProbeHole = 64 << 20;

/// Asks the daemon, where stat(2) would be answered by what the kernel keeps.
json look_at_tree(const fs::path& tree) {
  struct statfs facts {};
  if (::statfs(tree.c_str(), &facts)) {
    const int error = errno;
    const bool absent = error == ENOENT;
    return {{"state", absent              ? "absent"
                      : error == ENOTCONN ? "dead"
                                          : "strange"},
            {"error", std::strerror(error)}};
  }
  if (facts.f_type != kFuseMagic) return {{"state", "absent"}, {"error", ""}};
  const auto entries = std::distance(fs::directory_iterator(tree), fs::directory_iterator());
  return {{"state", entries > 0 ? "answers" : "strange"}, {"error", "it is empty"}};
}

FuseFacts::Tree tree_state(const std::string& text) {
  if (text == "answers") return FuseFacts::Tree::answers;
  if (text == "absent") return FuseFacts::Tree::absent;
  return text == "dead" ? FuseFacts::Tree::dead : FuseFacts::Tree::strange;
}

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};

bool has_direct(int fd, off_t where) {
  const auto again = "/proc/self/fd/" + std::to_string(fd);
  const util::UniqueFd direct(::open(again.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  const std::unique_ptr<void, Freed> page(std::aligned_alloc(kProbeBytes, kProbeBytes));
  std::memset(page.get(), 'd', kProbeBytes);
  return direct && ::pwrite(direct.get(), page.get(), kProbeBytes, where) == kProbeBytes &&
         ::pread(direct.get(), page.get(), kProbeBytes, where) == kProbeBytes;
}

/// A file of our own there, written, which has no name any more.
util::UniqueFd file_of_ours(const fs::path& directory) {
  std::string name = (directory / "doctor-XXXXXX").string();
  util::UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) throw util::SysError("a file cannot be made");
  ::unlink(name.c_str());
  const std::string bytes(kProbeBytes, 'b');
  const ssize_t put = ::pwrite(fd.get(), bytes.data(), bytes.size(), kProbeHole);
  if (put < 0) throw util::SysError("a file cannot be written");
  if (static_cast<size_t>(put) < bytes.size()) throw util::SysError(ENOSPC, "writing a file");
  return fd;
}

json look_at_cache(const fs::path& directory) {
  const auto fd = file_of_ours(directory);
  std::string back(kProbeBytes, '\0');
  if (::pread(fd.get(), back.data(), back.size(), kProbeHole) !=
          static_cast<ssize_t>(kProbeBytes) ||
      back != std::string(kProbeBytes, 'b'))
    throw util::Error("a file does not hold what was written to it");
  struct stat facts {};
  if (::fstat(fd.get(), &facts)) throw util::SysError("a file cannot be looked at");
  return {{"sparse", facts.st_blocks * 512 < kProbeHole / 2}};
}

/// What waits for the disk itself.
json look_at_disk(const fs::path& directory) {
  const auto fd = file_of_ours(directory);
  if (::fdatasync(fd.get())) throw util::SysError("a file cannot be synced");
  return {{"direct", has_direct(fd.get(), kProbeHole)}};
}

json room_of(const fs::path& directory) {
  struct statvfs room {};
  if (::statvfs(directory.c_str(), &room)) {
    if (errno == ENOENT) return {{"exists", false}};
    throw util::SysError("it cannot be looked at");
  }
  return {{"exists", true}, {"free", static_cast<uint64_t>(room.f_bavail) * room.f_frsize}};
}

/// Of the file that must be kept secret.
bool is_open_to_others(const fs::path& file) {
  struct stat facts {};
  return ::stat(file.c_str(), &facts) == 0 && (facts.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

/// With the node's own key where there is one; it is the daemon's to make.
cluster::Identity identity_of(const NodeSettings& settings, Patience patience, bool& has_key) {
  const auto now = cluster::wall_now();
  has_key = true;
  if (settings.token_file.empty())
    return cluster::Identity::of_files(
        {{}, settings.ca_file, settings.cert_file, settings.key_file, {}}, now);
  const auto text = util::read_text(settings.token_file);
  if (!text)
    throw util::Error(settings.token_file.string() +
                      " does not exist (swarmfs cluster init makes it, once for all nodes)");
  const auto key_file = settings.cache_directory / "node.key";
  const auto key_text =
      in_time([&] { return json(util::read_text(key_file).value_or("")); }, patience);
  if (!key_text) throw util::Error(key_file.string() + ": " + key_text.failure().message);
  const auto key = cluster::PrivateKey::parse(key_text->get<std::string>());
  has_key = key.has_value();
  return cluster::Identity::of_tokens(cluster::parse_tokens(*text, settings.token_file.string()),
                                      key ? *key : cluster::PrivateKey::generate(), now);
}

/// A small file, and not one of those that a kernel makes for itself.
json read_one_file(const fs::path& directory) {
  constexpr int kMostLooks = 5'000;
  int looks = 0;
  auto walk = fs::recursive_directory_iterator(directory);
  for (; walk != fs::recursive_directory_iterator() && looks < kMostLooks; ++walk, ++looks) {
    // First: what a link leads to may be outside, or nothing.
    if (walk->is_symlink() || !walk->is_regular_file() || walk->file_size() == 0) continue;
    const util::UniqueFd fd(::open(walk->path().c_str(), O_RDONLY | O_CLOEXEC));
    std::string bytes(1 << 16, '\0');
    const ssize_t got = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : -1;
    if (got < 0) throw util::SysError(walk->path().string());
    return {{"file", walk->path().string()}, {"bytes", got}};
  }
  return {{"file", ""}, {"bytes", 0}};
}

}  // namespace

FuseFacts probe_fuse(const fs::path& mount_point, Patience patience) {
  FuseFacts made;
  const util::UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device) made.device_error = errno;
  utsname kernel{};
  if (::uname(&kernel) == 0) made.kernel = kernel.release;
  made.root = ::geteuid() == 0;
  made.fuse_conf = util::read_text("/etc/fuse.conf");
  made.mount_point = mount_point;
  const auto seen = in_time([&] { return look_at_tree(mount_point); }, patience);
  if (seen) {
    made.tree = tree_state(seen->value("state", ""));
    made.tree_error = seen->value("error", "");
  } else {
    const bool hangs = seen.failure().fault == util::Fault::timed_out;
    made.tree = hangs ? FuseFacts::Tree::hangs : FuseFacts::Tree::strange;
    made.tree_error = seen.failure().message;
  }
  return made;
}

CacheFacts probe_cache(const fs::path& directory, Patience patience) {
  CacheFacts made;
  made.directory = directory;
  made.io_uring_disabled =
      std::atoi(util::read_text("/proc/sys/kernel/io_uring_disabled").value_or("0").c_str());
  const auto room = in_time([&] { return room_of(directory); }, patience);
  made.exists = !room || room->value("exists", false);
  if (!made.exists) return made;
  if (room) made.free = room->value("free", uint64_t{0});
  const auto seen = room ? in_time([&] { return look_at_cache(directory); }, patience) : room;
  if (!seen) {
    made.refusal = seen.failure().message;
    return made;
  }
  made.sparse = seen->value("sparse", false);
  const auto disk = in_time([&] { return look_at_disk(directory); }, patience);
  if (disk)
    made.direct = disk->value("direct", false);
  else
    (disk.failure().fault == util::Fault::timed_out ? made.slow : made.refusal) =
        disk.failure().message;
  return made;
}

std::optional<IdentityFacts> probe_identity(const NodeSettings& settings, Patience patience,
                                            std::shared_ptr<const http::TlsMaterial>& tls) {
  const bool by_token = !settings.token_file.empty();
  if (!by_token && settings.ca_file.empty()) return std::nullopt;
  IdentityFacts made;
  made.file = by_token ? settings.token_file : settings.cert_file;
  made.issues_its_own = by_token;
  made.open_to_others = is_open_to_others(by_token ? settings.token_file : settings.key_file);
  try {
    bool has_key = false;
    const auto identity = identity_of(settings, patience, has_key);
    if (has_key) made.node_id = identity.node_id();
    made.left = identity.validity().until - cluster::wall_now();
    tls = std::make_shared<const http::TlsMaterial>(
        http::TlsMaterial{identity.certificate_pem(), identity.key_pem(), identity.ca_pem()});
  } catch (const util::Error& error) {
    made.error = error.what();
  }
  return made;
}

ReadFacts probe_read(const std::string& directory, Patience patience) {
  ReadFacts made;
  made.directory = directory;
  if (directory.empty()) return made;
  const auto seen = in_time([&] { return read_one_file(directory); }, patience);
  if (!seen) {
    made.error = seen.failure().message;
    return made;
  }
  made.file = seen->value("file", "");
  made.bytes = seen->value("bytes", uint64_t{0});
  return made;
}

}  // namespace swarmfs::cli
