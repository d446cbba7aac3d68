// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cli/runtime_plan.h"

/// What configure puts into a text file stands between two comment lines of its own, so that it is
/// found again, and taken out to the byte. For TOML.
namespace swarmfs::cli {

/// What configure made for the block. It is written on the block's first line.
enum class Made { nothing, file, file_and_directory };

struct MarkedText {
  std::string before;
  std::string block;  ///< with its two lines; empty: there is none
  std::string after;
  Made made = Made::nothing;

  /// The text as it is without the block.
  [[nodiscard]] std::string rest() const;
};

/// Throws util::Error where a first line has no last one. `file`: for that message.
MarkedText find_marked(std::string_view text, const std::string& file);

/// `body` (whole lines) between the two lines.
std::string marked(const std::string& body, Made made);

/// `block` as marked() makes it, at the beginning of a line of `text` or at its end; a last line
/// that is not ended is understood.
std::string insert_marked(const std::string& text, size_t offset, const std::string& block);

/// Where line `line` (from 1) begins, or the comment lines right above it.
size_t offset_above(std::string_view text, size_t line);

/// `theirs`: the text without our block. Returns it with the block, or as it is where it needs
/// none.
using AddBlock = std::function<std::string(const std::string& theirs, Made made)>;

/// The change of one file: our block anew by `add`, or without it.
FileChange change_marked(const NodeView& node, const std::filesystem::path& file, bool remove,
                         const AddBlock& add);

}  // namespace swarmfs::cli
