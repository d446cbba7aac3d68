// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>

#include "http/bulk_window.h"

namespace swarmfs::http {

/// What the kernel knows of the way to the other end of a TCP socket; empty where it knows nothing
/// yet.
std::optional<BulkWindow::Path> path_of(int socket);

}  // namespace swarmfs::http
