// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/merged_tree.h"

#include <algorithm>
#include <map>

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
    for (uint32_t i = 0; i < layers_.size(); ++i) {
      overlay(root, i, 0);
      link_foreign(root, i);
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
    for (const auto& child : table.children(from)) {
      const bool is_directory = table.inode(child.inode).type == FileType::directory;
      auto found = target.children.find(child.name);
      const bool merges = is_directory && found != target.children.end() &&
                          inode(found->second).type == FileType::directory;
      if (!merges) {
        if (found != target.children.end()) target.children.erase(found);
        found = target.children.emplace(child.name, Draft{at, child.inode, {}}).first;
      }
      if (is_directory) overlay(found->second, at, child.inode);
    }
  }

  void link_foreign(Draft& root, uint32_t at) {
    for (const auto& link : files(at).foreign_links()) {
      const Draft* target = &root;
      std::string_view rest = link.target_path;
      while (target && !rest.empty()) {
        const auto found = target->children.find(rest.substr(0, rest.find('/')));
        target = found == target->children.end() ? nullptr : &found->second;
        rest.remove_prefix(std::min(rest.find('/'), rest.size() - 1) + 1);
      }
      Draft* parent = find_directory(root, at, link.parent);
      if (target && parent && inode(*target).type != FileType::directory)
        parent->children.insert_or_assign(link.name, Draft{target->layer, target->inode, {}});
    }
  }

  /// The merged directory that holds inode `wanted` of layer `at`.
  Draft* find_directory(Draft& root, uint32_t at, InodeIndex wanted) {
    std::vector<std::pair<Draft*, InodeIndex>> open{{&root, 0}};
    while (!open.empty()) {
      auto [draft, index] = open.back();
      open.pop_back();
      if (index == wanted) return draft;
      for (const auto& child : files(at).children(index)) {
        const auto found = draft->children.find(child.name);
        if (found != draft->children.end() &&
            files(at).inode(child.inode).type == FileType::directory)
          open.emplace_back(&found->second, child.inode);
      }
    }
    return nullptr;
  }

  const std::vector<std::shared_ptr<const LayerIndex>>& layers_;
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
