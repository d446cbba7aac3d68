// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "layer/link_walk.h"

namespace swarmfs::layer {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (!name.empty() && name != ".") names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> clean_steps(std::string_view path) {
  std::vector<std::string> steps;
  for (auto& name : split_path(path)) {
    if (name == ".." && !steps.empty() && steps.back() != "..")
      steps.pop_back();
    else
      steps.push_back(std::move(name));
  }
  return steps;
}

std::vector<std::string> clean_path(std::string_view path) {
  auto steps = clean_steps(path);
  std::erase(steps, "..");
  return steps;
}

}  // namespace swarmfs::layer
