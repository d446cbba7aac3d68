// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "cli/runtime_plan.h"

namespace swarmfs::cli {

/// The files below `root`, which stands for "/". A symbolic link that leads out of it, or to what
/// is not there, is refused.
class NodeFiles : public NodeView {
 public:
  explicit NodeFiles(const std::filesystem::path& root);

  [[nodiscard]] std::optional<std::string> read(const std::filesystem::path& file) const override;
  [[nodiscard]] std::vector<std::string> list(
      const std::filesystem::path& directory) const override;
  /// Where it is for this process.
  [[nodiscard]] std::filesystem::path place(const std::filesystem::path& path) const;

  /// Each file is replaced whole: it keeps owner and mode, and a crash leaves the old or the new
  /// text. Directories are made as needed. Throws util::SysError.
  void apply(const FileChange& change) const;

 private:
  std::filesystem::path root_;
};

}  // namespace swarmfs::cli
