// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "cluster/identity.h"
#include "util/operation.h"
#include "util/sync.h"
#include "util/timers.h"

namespace swarmfs::cluster {

/// Keeps the node's identity current: a minute's timer makes a new snapshot when the old one is
/// due. Where that fails the old one stays, with an error in the log, and is tried again. Any
/// thread.
class IdentityKeeper {
 public:
  using WallClock = std::function<WallTime()>;
  using Changed = std::function<void(const std::shared_ptr<const Identity>&)>;

  /// Throws util::Error where there is no usable identity. `timers` must outlive this.
  IdentityKeeper(IdentityFiles files, util::Timers& timers, WallClock clock = wall_now);
  IdentityKeeper(const IdentityKeeper&) = delete;
  IdentityKeeper& operator=(const IdentityKeeper&) = delete;

  /// Never null.
  [[nodiscard]] std::shared_ptr<const Identity> current() const { return *current_.lock(); }
  /// Reads the files again, now (SIGHUP; a rotation of tokens). Throws util::Error; then the old
  /// identity stays. Blocking.
  void reload();
  /// What the timer does. A clock that was set back also makes the snapshot due.
  void renew_if_due();
  /// Calls with the newest snapshot after every change of certificates, on the thread that made it,
  /// until the operation dies. Not for now: see current().
  [[nodiscard]] util::Operation on_change(Changed callback);

 private:
  struct Listener {
    util::CallbackGate gate;
    Changed callback;
  };
  void tell();

  const WallClock clock_;
  /// Held while they are read, so that an older reading never replaces a newer one.
  util::Sync<IdentityFiles> files_;
  util::Sync<std::shared_ptr<const Identity>> current_;
  util::Sync<std::vector<std::weak_ptr<Listener>>> listeners_;
  util::Operation timer_;  // last: its callback uses all of the above
};

}  // namespace swarmfs::cluster
