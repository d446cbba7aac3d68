// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <optional>
#include <string>
#include <vector>

/// Docker's daemon.json. JSON has no comments, so what configure puts into it is known again by its
/// spaces and by its host, which is one of loopback, and all else stays as it is to the byte. Pure.
namespace swarmfs::cli {

/// `theirs` with the mirror ("127.0.0.1:9755") as the first of "registry-mirrors"; unchanged where
/// it is that. Empty `theirs`: no file. Throws util::Error "file:line: …" for what is no JSON
/// object.
std::string add_to_daemon_json(const std::optional<std::string>& theirs, const std::string& mirror,
                               const std::string& file);

/// `text` without what add_to_daemon_json() put there, for whatever mirror on loopback; empty:
/// nothing else is in it. Throws as above.
std::optional<std::string> without_ours(const std::optional<std::string>& text,
                                        const std::string& file);

/// Those of "registry-mirrors" that are on 127.0.0.0/8, [::1] or localhost. Throws as above.
std::vector<std::string> loopback_mirrors(const std::optional<std::string>& text,
                                          const std::string& file);

/// Whether it says anything of mirrors. Throws as above.
bool speaks_of_mirrors(const std::optional<std::string>& text, const std::string& file);

}  // namespace swarmfs::cli
