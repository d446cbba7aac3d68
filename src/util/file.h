// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "util/units.h"

/// Small whole files, done safely. Blocking: not for an event loop or a reader thread.
namespace swarmfs::util {

/// The file's content; empty result where it does not exist. Throws SysError otherwise.
std::optional<Bytes> read_file(const std::filesystem::path& path);
std::optional<std::string> read_text(const std::filesystem::path& path);

/// Replaces `path` so that after a crash it holds either the old or the new content: temporary
/// file, fdatasync, rename, fsync of the directory. Throws SysError.
void write_file_durably(const std::filesystem::path& path, ByteView content, unsigned mode = 0644);

/// Removes `path`, which stays removed after a crash. Nothing happens where it does not exist.
/// Throws SysError.
void remove_file_durably(const std::filesystem::path& path);

}  // namespace swarmfs::util
