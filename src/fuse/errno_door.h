// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "util/outcome.h"

namespace swarmfs::fuse {

/// The one door where a Fault becomes errno.
int errno_of(util::Fault fault) noexcept;

}  // namespace swarmfs::fuse
