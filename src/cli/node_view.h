// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace swarmfs::cli {

/// The files of a node as configure reads them; paths are absolute, as the node itself names them.
class NodeView {
 public:
  virtual ~NodeView() = default;
  /// Empty result: there is no such file. Throws util::Error where it cannot be read.
  [[nodiscard]] virtual std::optional<std::string> read(
      const std::filesystem::path& file) const = 0;
  /// The names in a directory, sorted; those of directories end in '/'. Nothing where it is absent.
  [[nodiscard]] virtual std::vector<std::string> list(
      const std::filesystem::path& directory) const = 0;
};

}  // namespace swarmfs::cli
