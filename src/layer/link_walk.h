// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace swarmfs::layer {

/// What no kernel could be asked for is longer (PATH_MAX without its zero).
inline constexpr size_t kLongestPath = 4095;

inline constexpr size_t kLongestName = 255;

/// The names of `path`: no empty ones, no "."; ".." is kept.
std::vector<std::string> split_path(std::string_view path);

/// The same, but a name before ".." goes with it, whatever it is. What is left of ".." stands in
/// front.
std::vector<std::string> clean_steps(std::string_view path);

/// The components of `path`, cleaned: no empty ones, no ".", ".." resolved inside the root.
std::vector<std::string> clean_path(std::string_view path);

/// Follows paths through symlinks as containerd does (RootPath of its continuity): all links stay
/// below the root, absolute ones start there, ".." ends there, and of the target of a link ".."
/// takes names back before links are looked at. One walker per tree: it also bounds the text of all
/// the links that it follows.
class LinkWalker {
 public:
  static constexpr int kMaxLinks = 255;

  template <class Node>
  struct Walked {
    std::optional<Node> end;
    bool endless = false;  ///< too many links, or too long for a path
  };

  /// From `root` along `names`, the last one too. child(Node, name) gives an optional<Node>:
  /// nothing ends the walk; link(Node) the target of a symlink, else null.
  template <class Node, class Child, class Link>
  Walked<Node> walk(Node root, std::vector<std::string> names, Child&& child, Link&& link) {
    struct Step {
      Node node;
      size_t length;  ///< of the path to it
    };
    std::vector<Step> trail{{root, 0}};
    std::reverse(names.begin(), names.end());
    for (int links = 0; !names.empty();) {
      const std::string name = std::move(names.back());
      names.pop_back();
      if (name == "..") {
        if (trail.size() > 1) trail.pop_back();
        continue;
      }
      const size_t length = trail.back().length + 1 + name.size();
      if (name.size() > kLongestName || length > kLongestPath + 1) return {{}, true};
      const std::optional<Node> next = child(trail.back().node, name);
      if (!next) return {};
      const std::string* target = link(*next);
      if (!target) {
        trail.push_back({*next, length});
        continue;
      }
      if (++links > kMaxLinks || target->size() > kLongestPath || target->size() >= text_left_)
        return {{}, true};
      text_left_ -= target->size() + 1;
      if (target->starts_with('/')) trail.erase(trail.begin() + 1, trail.end());
      auto steps = clean_steps(*target);
      std::move(steps.rbegin(), steps.rend(), std::back_inserter(names));
    }
    return {trail.back().node, false};
  }

 private:
  uint64_t text_left_ = 128 << 20;
};

}  // namespace swarmfs::layer
