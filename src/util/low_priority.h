// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <sys/resource.h>

namespace swarmfs::util {

/// The calling thread gives way to readers from now on: for long work that nobody waits for.
inline void take_low_priority() {
  constexpr int kNice = 10;
  ::setpriority(PRIO_PROCESS, 0, kNice);  // Linux: of this thread alone
}

}  // namespace swarmfs::util
