// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/windows.h"

#include <string>

namespace swarmfs::content {

static_assert(layer::LayerIndex::kWindowsBlock == chunk::kBlockSize);

std::shared_ptr<const chunk::HashTree> windows_tree(const layer::LayerIndex& index) {
  return std::make_shared<const chunk::HashTree>(index.windows_size(), index.windows);
}

util::Digest windows_name(const chunk::HashTree& tree) {
  return util::Sha256::of(util::as_bytes(tree.root().hex() + "." + std::to_string(tree.size())));
}

util::Operation Windows::read(const layer::LayerIndex& index, size_t checkpoint,
                              const chunk::FetchContext& context, fetch::Fetcher::OnRead on_read) {
  if (const auto own = *own_.lock()) {
    const auto& range = own->index.checkpoints.at(checkpoint).window;
    on_read(own->windows.slice(range.offset, range.length));
    return {};
  }
  return fetcher_.read(stored_, index.checkpoints.at(checkpoint).window, context,
                       std::move(on_read));
}

void Windows::take(layer::LayerIndex index, util::Bytes windows) {
  auto own =
      std::make_shared<const Own>(Own{std::move(index), util::SharedBytes::of(std::move(windows))});
  *own_.lock() = std::move(own);
}

}  // namespace swarmfs::content
