// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <string>

#include "cli/marked_block.h"

/// containerd's hosts.toml (docs/hosts.md of containerd): which hosts are asked for a registry, in
/// the order of the file. Pure.
namespace swarmfs::cli {

/// The table that names the mirror ("127.0.0.1:9755"), as lines.
std::string hosts_toml_table(const std::string& mirror);

/// `theirs` with the mirror asked first: in a block of ours ahead of their hosts, or unchanged
/// where they name it first themselves. Throws util::Error, with what to add by hand, where a block
/// cannot be put ahead, and where the text is no TOML.
std::string add_to_hosts_toml(const std::string& theirs, const std::string& mirror, Made made,
                              const std::string& file);

/// Whether it names neither a host nor certificates: containerd takes then those that lie beside
/// it, up to 1.7. Throws util::Error for what is no TOML.
bool hosts_toml_lacks_certificates(const std::string& text, const std::string& file);

/// Whether the mirror is the first of its hosts, and may pull; false also of what containerd would
/// not understand.
bool hosts_toml_asks_first(const std::string& text, const std::string& mirror);

}  // namespace swarmfs::cli
