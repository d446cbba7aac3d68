// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace swarmfs::util {

/// The flags of mount(2) for a list such as "nosuid,noatime". Empty result: one of them is not
/// nosuid, nodev, noexec, noatime, nodiratime, relatime or strictatime.
std::optional<unsigned long> mount_flags(std::string_view options);

/// Shows `source` read-only on `directory` as well, with these mount_flags(). Throws SysError.
void bind_read_only(const std::filesystem::path& source, const std::filesystem::path& directory,
                    unsigned long flags);

/// Whether something is mounted exactly on `directory` (in this mount namespace).
bool is_mount_point(const std::filesystem::path& directory);

/// Takes the topmost mount on `directory` off, now or when its last user goes. Throws SysError.
void detach(const std::filesystem::path& directory);

}  // namespace swarmfs::util
