// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "cli/runtime_plan.h"

namespace swarmfs::cli {

/// A node's files in memory.
class FakeNode : public NodeView {
 public:
  FakeNode() = default;
  FakeNode(std::initializer_list<std::pair<const std::string, std::string>> files)
      : files_(files) {}

  [[nodiscard]] std::optional<std::string> read(const std::filesystem::path& file) const override {
    const auto found = files_.find(file.string());
    return found == files_.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] std::vector<std::string> list(
      const std::filesystem::path& directory) const override {
    std::set<std::string> names;
    const std::string below = directory.string() + "/";
    for (const auto& [path, text] : files_) {
      if (!path.starts_with(below)) continue;
      const auto rest = path.substr(below.size());
      if (!rest.empty())
        names.insert(rest.substr(0, std::min(rest.find('/'), rest.size() - 1) + 1));
    }
    return {names.begin(), names.end()};
  }

  /// What the plan says becomes true.
  void apply(const RuntimePlan& plan) {
    for (const auto& change : plan.files) {
      files_.erase(change.file.string());
      if (change.after) files_[change.file.string()] = *change.after;
    }
  }

  bool operator==(const FakeNode& other) const { return files_ == other.files_; }
  /// By path; one that ends in '/' is an empty directory.
  std::map<std::string, std::string> files_;
};

inline std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace swarmfs::cli
