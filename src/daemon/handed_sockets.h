// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>
#include <vector>

#include "util/unique_fd.h"

namespace swarmfs::daemon {

/// Sockets that listen already: the service manager keeps them while no daemon runs
/// (packaging/swarmfs.socket, sd_listen_fds(3)), so that clients wait for the next one. Found by
/// their address, which the configuration names, in whatever spelling.
class HandedSockets {
 public:
  HandedSockets() = default;
  /// What this process was handed, which its children are not. Without a service manager nothing.
  static HandedSockets from_environment();

  void add(util::UniqueFd socket);
  /// The one that listens on `address`: "127.0.0.1:9755", "[::1]:9755",
  /// "/run/swarmfs/control.sock". Empty: there is none.
  util::UniqueFd take(const std::string& address);
  /// The addresses of what nobody took, "a, b".
  [[nodiscard]] std::string rest() const;
  /// Ends listening on what nobody took, with a warning: with the service manager's own copy open,
  /// its clients would wait for ever. That copy is of no use any more (shutdown(2) is of the
  /// socket, not of the descriptor): systemd lets swarmfs.socket fail when this daemon ends.
  void refuse_rest();

 private:
  struct Socket {
    std::string address;
    util::UniqueFd fd;
  };
  std::vector<Socket> sockets_;
};

}  // namespace swarmfs::daemon
