// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>

namespace swarmfs::util {

/// Shows `source` read-only on `directory` as well. Throws SysError.
void bind_read_only(const std::filesystem::path& source, const std::filesystem::path& directory);

/// Whether something is mounted exactly on `directory` (in this mount namespace).
bool is_mount_point(const std::filesystem::path& directory);

/// Takes the topmost mount on `directory` off, now or when its last user goes. Throws SysError.
void detach(const std::filesystem::path& directory);

}  // namespace swarmfs::util
