// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

namespace swarmfs::cli {

/// What the command line said; each command reads its own part.
struct Options {
  std::string socket = "/run/swarmfs/control.sock";
  bool json = false;
  bool quiet = false;
  bool pin = false;
  bool layers = false;
  bool verbose = false;
  std::string reference;
  std::string directory;
  std::string platform;
  std::string mount_flags;    ///< as util::mount_flags() takes them
  std::string nodes = "all";  ///< or how many
  std::string zone;
  std::string timeout = "600";  ///< seconds
  std::string target;           ///< of explain, or of status: empty: the whole daemon
  std::string token_file;
};

/// Each prints its result on standard output and progress on standard error, and throws
/// util::Error with the way out. Blocking.
void mount(const Options& options);
void umount(const Options& options);
void pull(const Options& options);
/// Prints what came of each node before it throws because of one.
void preheat(const Options& options);
void status(const Options& options);
void explain(const Options& options);
void peers(const Options& options);
void list(const Options& options);
void evict(const Options& options);

/// These two need no daemon. init never replaces a file: that would cut the cluster in two.
void cluster_init(const Options& options);
void cluster_show(const Options& options);

}  // namespace swarmfs::cli
