// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/provenance.h"

#include <algorithm>

namespace swarmfs::fetch {

void Provenance::came_from_peer(uint64_t block, const Supplier& supplier,
                                const util::Digest& leaf) {
  const Supplier* known = &*known_.insert(supplier).first;
  lately_.insert(known);
  from_peers_[{block, known}] = leaf;
}

void Provenance::contradicted(uint64_t block, const Supplier& supplier, const util::Digest& leaf) {
  from_peers_[{block, &*known_.insert(supplier).first}] = leaf;
}

std::vector<Provenance::Lie> Provenance::lies(const chunk::HashTree& tree) const {
  std::vector<Lie> found;
  for (const auto& [from, leaf] : from_peers_)
    if (tree.leaves()[from.first] != leaf) found.push_back({from.first, *from.second});
  return found;
}

std::vector<chunk::BlockRange> Provenance::unproven() const {
  std::vector<chunk::BlockRange> runs;
  for (uint64_t block = 0; block < unproven_.size(); ++block) {
    if (!unproven_[block]) continue;
    if (!runs.empty() && runs.back().end() == block)
      ++runs.back().count;
    else
      runs.push_back({block, 1});
  }
  return runs;
}

std::vector<Supplier> Provenance::suppliers() const {
  std::vector<Supplier> found;
  for (const Supplier* supplier : lately_) found.push_back(*supplier);
  return found;
}

bool Provenance::is_alone(const Supplier& supplier) const {
  return !inherited_ && lately_.size() == 1 && **lately_.begin() == supplier;
}

void Provenance::discarded() {
  inherited_ = false;
  lately_.clear();
  std::fill(unproven_.begin(), unproven_.end(), false);
}

void Provenance::clear() {
  from_peers_.clear();
  discarded();
  known_.clear();
}

}  // namespace swarmfs::fetch
