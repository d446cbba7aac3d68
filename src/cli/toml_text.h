// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <toml++/toml.h>
#include <string>
#include <string_view>

#include "util/error.h"

/// TOML of other programs. For the plans of configure alone.
namespace swarmfs::cli {

/// Throws util::Error "file:line: why".
inline toml::table parse_toml_text(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& bad) {
    throw util::Error(file + ":" + std::to_string(bad.source().begin.line) + ": " +
                      std::string(bad.description()));
  }
}

/// Line `number` (from 1) without blanks around it.
inline std::string_view toml_line(std::string_view text, size_t number) {
  size_t start = 0;
  for (size_t i = 1; i < number && start != text.npos; ++i)
    if ((start = text.find('\n', start)) != text.npos) ++start;
  if (number == 0 || start == text.npos) return {};
  std::string_view line = text.substr(start, text.find('\n', start) - start);
  const size_t first = line.find_first_not_of(" \t\r");
  if (first == line.npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace swarmfs::cli
