// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/configure.h"
#include "cli/doctor.h"
#include "cli/mount_options.h"
#include "util/error.h"

namespace {

using namespace swarmfs;

/// An option that is understood before the command as well as after it; so the environment is read
/// here, not by CLI11: where one of the two is absent it would override the other.
void add_socket(CLI::App& app, cli::Options& options) {
  app.add_option("--socket", options.socket,
                 "the daemon's control socket (default: $SWARMFS_SOCKET, else "
                 "/run/swarmfs/control.sock)");
}

cli::Options default_options() {
  cli::Options made;
  if (const char* socket = std::getenv("SWARMFS_SOCKET")) made.socket = socket;
  return made;
}

CLI::App* add_command(CLI::App& app, cli::Options& options, const std::string& name,
                      const std::string& help, void (*run)(const cli::Options&)) {
  auto* command = app.add_subcommand(name, help);
  command->add_flag("--json", options.json, "print JSON");
  add_socket(*command, options);
  command->callback([&options, run] { run(options); });
  return command;
}

void add_reference(CLI::App* command, cli::Options& options,
                   const std::string& platform = "this machine's") {
  command
      ->add_option("REFERENCE", options.reference,
                   "as docker and containerd write it: registry.example.com/app:v1, alpine, …")
      ->required();
  command->add_option("--platform", options.platform,
                      "os/architecture[/variant] (default: " + platform + ")");
  command->add_flag("-q,--quiet", options.quiet, "no progress");
}

/// What -o said over what else did.
void take_mount_options(const std::string& text, cli::Author author, cli::Options& options) {
  const auto parsed = cli::parse_mount_options(text, author);
  if (!parsed) throw util::Error(parsed.failure().message);
  if (!parsed->socket.empty()) options.socket = parsed->socket;
  if (!parsed->platform.empty()) options.platform = parsed->platform;
  options.pin = options.pin || parsed->pin;
  options.mount_flags = parsed->flags;
}

void add_mount(CLI::App& app, cli::Options& options, std::string& mount_options) {
  auto* mount = add_command(app, options, "mount", "mount an image on a directory", cli::mount);
  add_reference(mount, options);
  mount->add_option("DIRECTORY", options.directory, "where")->required();
  mount->add_flag("--pin", options.pin, "never evict this image");
  mount->add_option("-o,--options", mount_options,
                    "nosuid, nodev, noexec, noatime, …: as for mount(8), with commas between");
  mount->callback([&] {
    take_mount_options(mount_options, cli::Author::user, options);
    cli::mount(options);
  });
}

void add_preheat(CLI::App& app, cli::Options& options) {
  auto* preheat = add_command(app, options, "preheat",
                              "bring a whole image into the caches of nodes of the cluster, each "
                              "with its own credentials",
                              cli::preheat);
  add_reference(preheat, options, "each node's own");
  preheat->add_option("--nodes", options.nodes,
                      "how many, this one included, or all that are known (default: all)");
  preheat->add_option("--zone", options.zone, "only nodes of this zone");
  preheat->add_option("--timeout", options.timeout,
                      "seconds: a node that makes no progress for so long, be it busy or stuck, is "
                      "given up (default: 600)");
}

void add_status(CLI::App& app, cli::Options& options) {
  auto* status = add_command(app, options, "status",
                             "the daemon, its cache, its mounts, and who has what of their layers",
                             cli::status);
  status->add_option("TARGET", options.target,
                     "only the layers of a reference or of a directory's mount, or one layer by "
                     "the first digits of its digest: every member that has something of it");
  status->add_flag("-v,--verbose", options.verbose, "all layers and all their members");
}

void add_cluster(CLI::App& app, cli::Options& options) {
  auto* cluster = app.add_subcommand("cluster", "the secret that makes nodes a cluster");
  cluster->require_subcommand(1);
  auto* init = cluster->add_subcommand("init", "make the token of a new cluster");
  init->add_flag("--json", options.json, "print JSON");
  init->add_option("--output", options.token_file,
                   "write it to this file, mode 0600, instead of standard output");
  init->callback([&options] { cli::cluster_init(options); });
  auto* show = cluster->add_subcommand("show", "a token file's CA fingerprints; no secret");
  show->add_flag("--json", options.json, "print JSON");
  show->add_option("FILE", options.token_file, "a token file")->required();
  show->callback([&options] { cli::cluster_show(options); });
}

void add_configure(CLI::App& app, const cli::Options& common, cli::ConfigureOptions& options,
                   int& code) {
  auto* configure = app.add_subcommand(
      "configure", "point a container runtime at the mirror of this node; check or undo that");
  configure->add_option("RUNTIME", options.runtime, "containerd, podman, docker or stargz")
      ->required()
      ->check(CLI::IsMember({"containerd", "podman", "docker", "stargz"}));
  configure
      ->add_option("--registry", options.registries,
                   "for this registry; again for more (default: containerd: all; others: "
                   "docker.io)")
      ->allow_extra_args(false);
  configure->add_option("--mirror", options.mirror,
                        "HOST:PORT of the mirror (default: [mirror] listen of --config)");
  configure->add_option("--config", options.config, "the daemon's configuration")
      ->capture_default_str();
  configure->add_option("--root", options.root, "the runtime's files are below this directory");
  configure->add_option("--hosts-dir", options.hosts_directory,
                        "containerd: where hosts.toml are kept (default: config_path of "
                        "/etc/containerd/config.toml)");
  auto* check = configure->add_flag("--check", options.check,
                                    "change nothing; exit code 1 where "
                                    "the runtime would not ask the mirror");
  configure->add_flag("--remove", options.remove, "undo it, to the byte")->excludes(check);
  configure->add_flag("--dry-run", options.dry_run, "only show what would change")->excludes(check);
  configure->add_flag("--json", options.json, "print JSON");
  configure->callback([&] {
    options.json = options.json || common.json;
    code = cli::configure(options);
  });
}

void add_doctor(CLI::App& app, const cli::Options& common, cli::DoctorOptions& options, int& code) {
  auto* doctor = app.add_subcommand(
      "doctor", "whether this node works from end to end; exit code 1 where something does not");
  doctor->add_option("IMAGE", options.reference,
                     "pull of it what proves that a pull flows (default: the smallest image that "
                     "is mounted)");
  doctor->add_option("--socket", options.socket,
                     "the daemon's control socket (default: $SWARMFS_SOCKET, else as --config "
                     "says)");
  doctor->add_option("--config", options.config, "the daemon's configuration")
      ->capture_default_str();
  doctor
      ->add_option_function<double>(
          "--timeout",
          [&options](double seconds) {
            options.patience = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
          },
          "seconds that each check may take; a pull and a read five times that (default: 3)")
      ->check(CLI::Range(0.1, 600.0));
  doctor->add_option("--root", options.root, "the runtimes' files are below this directory");
  doctor->add_flag("--json", options.json, "print JSON");
  doctor->callback([&] {
    options.json = options.json || common.json;
    if (options.socket.empty() && common.socket != cli::Options().socket)
      options.socket = common.socket;
    code = cli::doctor(options);
  });
}

int run_swarmfs(int count, char** words) {
  CLI::App app("Container images, usable before they are downloaded.", "swarmfs");
  app.require_subcommand(1);
  app.set_version_flag("--version", "swarmfs " SWARMFS_VERSION);
  cli::Options options = default_options();
  add_socket(app, options);
  app.add_flag("--json", options.json, "print JSON");
  std::string mount_options;
  add_mount(app, options, mount_options);
  auto* umount = add_command(app, options, "umount", "unmount a directory", cli::umount);
  umount->add_option("DIRECTORY", options.directory, "of a mount")->required();
  umount->add_flag("-q,--quiet", options.quiet, "say nothing");
  add_reference(add_command(app, options, "pull", "bring a whole image into the cache", cli::pull),
                options);
  add_preheat(app, options);
  add_status(app, options);
  add_command(
      app, options, "explain",
      "per layer: lazy or not and why, whether it is sealed, bytes present, who gave and who "
      "has them",
      cli::explain)
      ->add_option("TARGET", options.target, "a reference, or the directory of a mount")
      ->required();
  add_command(app, options, "ls", "list mounts", cli::list)
      ->add_flag("--layers", options.layers, "list cached layers instead");
  add_command(app, options, "peers", "the other nodes: how fast, how reliable, what they gave",
              cli::peers);
  add_command(app, options, "evict", "drop what no mount uses from the cache", cli::evict);
  add_cluster(app, options);
  cli::ConfigureOptions configure;
  cli::DoctorOptions doctor;
  int code = 0;
  add_configure(app, options, configure, code);
  add_doctor(app, options, doctor, code);
  try {
    app.parse(count, words);
    return code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

constexpr const char* kHelperUsage =
    "usage: mount.swarmfs REFERENCE DIRECTORY [-fnsv] [-N NAMESPACE] [-o OPTIONS]\n"
    "Mounts an image as mount(8) does for type swarmfs, through the running swarmfsd:\n"
    "  mount -t swarmfs registry.example.com/app:v1 /mnt/app -o nosuid,pin\n"
    "In /etc/fstab:\n"
    "  registry.example.com/app:v1  /mnt/app  swarmfs  ro,nosuid,_netdev,"
    "x-systemd.requires=swarmfs.service  0 0\n"
    "Options:\n"
    "  pin                              never evict this image\n"
    "  platform=OS/ARCH[/VARIANT]       which image of a list (default: this machine's)\n"
    "  socket=PATH                      the daemon's control socket (default: $SWARMFS_SOCKET, "
    "else\n"
    "                                   /run/swarmfs/control.sock)\n"
    "  nosuid, nodev, noexec, noatime, nodiratime, relatime, strictatime\n"
    "                                   as for any mount; kept over restarts of the daemon\n"
    "  user, users, owner, group        imply nosuid and nodev, the first two noexec as well\n"
    "The mount is always read-only. To mount what is mounted there already succeeds and does "
    "nothing.\n";

/// What mount(8) calls: mount.swarmfs REFERENCE DIRECTORY [-sfnv] [-N namespace] [-t type] [-o …]
int run_mount_helper(int count, char** words) {
  cli::Options options = default_options();
  options.quiet = true;
  bool fake = false;
  std::vector<std::string> plain;
  std::string mount_options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--help" || word == "-h") return std::fputs(kHelperUsage, stdout) < 0;
    if ((word == "-o" || word == "-t" || word == "-N") && i + 1 < count) {
      ++i;
      if (word == "-o") mount_options += (mount_options.empty() ? "" : ",") + std::string(words[i]);
    } else if (word.starts_with('-')) {
      fake = fake || word.find('f') != std::string_view::npos;
    } else {
      plain.emplace_back(word);
    }
  }
  if (plain.size() != 2) {
    std::fputs(kHelperUsage, stderr);
    return 1;
  }
  options.reference = plain[0];
  options.directory = plain[1];
  take_mount_options(mount_options, cli::Author::mount_8, options);
  if (!fake) cli::mount(options);
  return 0;
}

}  // namespace

int main(int count, char** words) try {
  const bool helper = std::filesystem::path(words[0]).filename() == "mount.swarmfs";
  return helper ? run_mount_helper(count, words) : run_swarmfs(count, words);
} catch (const std::exception& error) {
  std::fprintf(stderr, "swarmfs: %s\n", error.what());
  return 1;
}
