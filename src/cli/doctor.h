// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <chrono>
#include <string>

namespace swarmfs::cli {

struct DoctorOptions {
  std::string socket;     ///< empty: as config says
  std::string reference;  ///< of an image to pull; empty: the smallest one that is mounted
  std::string root = "/";
  std::string config = "/etc/swarmfs/swarmfs.toml";  ///< the daemon's; not below root
  /// Of one question; a pull and a read through what may be far away have five times that.
  std::chrono::milliseconds patience{3'000};
  bool json = false;
};

/// Looks whether this node works from end to end, also while no daemon runs, and prints a line for
/// each check when it is made (JSON at the end). A check that stumbles is a failure of its own, the
/// others are made all the same. Returns the exit code: 1 where something does not work.
int doctor(const DoctorOptions& options);

}  // namespace swarmfs::cli
