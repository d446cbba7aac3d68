// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fuse/errno_door.h"

#include <cerrno>

namespace swarmfs::fuse {

int errno_of(util::Fault fault) noexcept {
  // The file exists, its bytes cannot be had: for a reader that is an I/O error, whatever the
  // cause.
  return fault == util::Fault::cancelled ? EINTR : EIO;
}

}  // namespace swarmfs::fuse
