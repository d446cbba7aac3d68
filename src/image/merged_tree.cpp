// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/merged_tree.h"

#include <algorithm>
#include <map>

#include "layer/link_walk.h"

namespace swarmfs::image {

using layer::FileType;
using layer::InodeIndex;
using layer::LayerIndex;

namespace {

/// A directory entry while merging. Hard links share the (layer, inode) pair.
struct Draft {
  uint32_t layer = 0;
  InodeIndex inode = 0;
  std::map<std::string, Draft, std::less<>> children;
};

class Merger {
 public:
  explicit Merger(const std::vector<std::shared_ptr<const LayerIndex>>& layers) : layers_(layers) {}

  Draft merge() {
    Draft root;
    root_ = &root;
    for (uint32_t i = 0; i < layers_.size(); ++i) {
      homes_.assign(files(i).foreign_links().empty() ? 0 : files(i).size(), nullptr);
      overlay(root, i, 0);
      link_foreign(i);
    }
    return root;
  }

 private:
  [[nodiscard]] const layer::FileTable& files(uint32_t at) const { return layers_[at]->files; }
  [[nodiscard]] const layer::Inode& inode(const Draft& draft) const {
    return files(draft.layer).inode(draft.inode);
  }

  /// Lays directory `from` of layer `at` over `target`, which is a directory.
  void overlay(Draft& target, uint32_t at, InodeIndex from) {
    const auto& table = files(at);
    const auto& directory = table.inode(from);
    if (directory.opaque) target.children.clear();
    for (const auto& name : table.whiteouts(from)) target.children.erase(name);
    if (!directory.implied || (at == 0 && from == 0)) {
      target.layer = at;
      target.inode = from;
    }
    if (!homes_.empty()) homes_[from] = &target;
    for (const auto& child : table.children(from)) lay(target, at, child);
  }

  void lay(Draft& parent, uint32_t at, const layer::Name& child) {
    const bool directory = files(at).inode(child.inode).type == FileType::directory;
    if (directory) path_.push_back(child.name);
    auto found = parent.children.find(child.name);
    if (found == parent.children.end() || !directory || !is_directory(found->second)) {
      Draft fresh = replacement(at, child.inode);
      if (found != parent.children.end()) parent.children.erase(found);
      found = parent.children.emplace(child.name, std::move(fresh)).first;
    }
    if (!directory) return;
    overlay(found->second, at, child.inode);
    path_.pop_back();
  }

  /// What stands in a place from now on. A directory that has no entry of its own (it is at path_)
  /// has the attributes of what was there for whoever came along, as containerd copies them.
  [[nodiscard]] Draft replacement(uint32_t at, InodeIndex made) {
    if (files(at).inode(made).implied)
      if (const Draft* old = follow(path_); old && is_directory(*old))
        return {old->layer, old->inode, {}};
    return {at, made, {}};
  }

  [[nodiscard]] bool is_directory(const Draft& draft) const {
    return inode(draft).type == FileType::directory;
  }

  /// What `names` lead to in what is merged so far; null when that is nothing.
  [[nodiscard]] const Draft* follow(std::vector<std::string> names) {
    const auto walked = walker_.walk<const Draft*>(
        root_, std::move(names),
        [](const Draft* draft, const std::string& name) -> std::optional<const Draft*> {
          const auto found = draft->children.find(name);
          if (found == draft->children.end()) return std::nullopt;
          return &found->second;
        },
        [this](const Draft* draft) {
          const auto& found = inode(*draft);
          return found.type == FileType::symlink ? &found.symlink_target : nullptr;
        });
    return walked.end.value_or(nullptr);
  }

  void link_foreign(uint32_t at) {
    for (const auto& link : files(at).foreign_links()) {
      auto names = layer::clean_path(link.target_path);
      // Another name of the layer would take away what homes_ points to.
      if (names.empty() || !homes_[link.parent] || files(at).find(link.parent, link.name)) continue;
      const std::string name = std::move(names.back());
      names.pop_back();
      const Draft* folder = follow(std::move(names));
      if (!folder) continue;
      const auto target = folder->children.find(name);
      if (target == folder->children.end() || is_directory(target->second)) continue;
      Draft made{target->second.layer, target->second.inode, {}};
      homes_[link.parent]->children.insert_or_assign(link.name, std::move(made));
    }
  }

  const std::vector<std::shared_ptr<const LayerIndex>>& layers_;
  const Draft* root_ = nullptr;
  std::vector<std::string> path_;  ///< of the directory that is laid at the moment
  std::vector<Draft*> homes_;      ///< of the layer's directories, when it has foreign links
  layer::LinkWalker walker_;
};

}  // namespace

MergedTree::MergedTree(const std::vector<std::shared_ptr<const LayerIndex>>& layers) {
  Draft root = Merger(layers).merge();
  std::map<std::pair<uint32_t, InodeIndex>, NodeIndex> files;
  struct Open {
    Draft* draft;
    NodeIndex node;
  };
  nodes_.push_back({root.layer, root.inode, 2, 0, {}});
  std::vector<Open> open{{&root, 0}};
  for (size_t at = 0; at < open.size(); ++at) {
    auto [draft, parent] = open[at];
    for (auto& [name, child] : draft->children) {
      const bool is_directory =
          layers[child.layer]->files.inode(child.inode).type == FileType::directory;
      auto made = static_cast<NodeIndex>(nodes_.size());
      if (is_directory) {
        ++nodes_[parent].links;
        open.push_back({&child, made});
        nodes_.push_back({child.layer, child.inode, 2, parent, {}});
      } else {
        const auto [known, fresh] = files.try_emplace({child.layer, child.inode}, made);
        made = known->second;
        if (fresh) nodes_.push_back({child.layer, child.inode, 0, parent, {}});
        ++nodes_[made].links;
      }
      nodes_[parent].children.emplace_back(name, made);
    }
  }
}

std::optional<NodeIndex> MergedTree::find(NodeIndex directory, std::string_view name) const {
  const auto& children = nodes_.at(directory).children;
  const auto found = std::lower_bound(
      children.begin(), children.end(), name,
      [](const auto& child, std::string_view wanted) { return child.first < wanted; });
  if (found == children.end() || found->first != name) return std::nullopt;
  return found->second;
}

}  // namespace swarmfs::image
