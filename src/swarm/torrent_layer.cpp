// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_layer.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace swarmfs::swarm {

namespace {

uint32_t piece_count(uint64_t size) {
  const uint64_t piece = chunk::chunk_size(size);
  return static_cast<uint32_t>((size + piece - 1) / piece);
}

}  // namespace

TorrentLayer::TorrentLayer(chunk::LayerRef ref, std::shared_ptr<const chunk::HashTree> tree,
                           std::shared_ptr<chunk::StoredLayer> stored, std::string info,
                           util::Workers& deliveries)
    : availability(piece_count(ref.size)),
      ref_(std::move(ref)),
      tree_(std::move(tree)),
      stored_(std::move(stored)),
      info_(std::move(info)),
      deliveries_(deliveries),
      piece_size_(chunk::chunk_size(ref_.size)),
      pieces_(piece_count(ref_.size)),
      told_(std::vector<bool>(pieces_)) {
  assert(pieces_ > 0 && tree_->size() == ref_.size);
}

util::ByteRange TorrentLayer::bytes_of(uint32_t piece) const {
  return util::ByteRange{piece * piece_size_, piece_size_}.clamp(ref_.size);
}

chunk::BlockRange TorrentLayer::blocks_of(uint32_t piece) const {
  return chunk::blocks_covering(bytes_of(piece));
}

uint32_t TorrentLayer::piece_at(uint64_t offset) const {
  return static_cast<uint32_t>(offset / piece_size_);
}

std::vector<uint32_t> TorrentLayer::untold() const {
  std::vector<uint32_t> made;
  auto told = told_.lock();
  for (uint32_t piece = 0; piece < pieces_; ++piece)
    if (!(*told)[piece]) made.push_back(piece);
  return made;
}

bool TorrentLayer::tell(uint32_t piece) {
  auto told = told_.lock();
  const bool fresh = !(*told)[piece];
  (*told)[piece] = true;
  return fresh;
}

uint64_t TorrentLayer::await(uint32_t piece, chunk::Class cls, OnPiece on_piece) {
  auto waiters = waiters_.lock();
  if (waiters->ended) return 0;
  const uint64_t id = waiters->next++;
  waiters->by_id.emplace(id, Waiter{piece, cls, false, std::move(on_piece)});
  return id;
}

void TorrentLayer::hold(uint64_t waiter, bool held) {
  auto waiters = waiters_.lock();
  const auto found = waiters->by_id.find(waiter);
  if (found != waiters->by_id.end()) found->second.held = held;
}

void TorrentLayer::forget(uint64_t waiter) {
  OnPiece dies_without_the_lock;
  auto waiters = waiters_.lock();
  const auto found = waiters->by_id.find(waiter);
  if (found == waiters->by_id.end()) return;
  dies_without_the_lock = std::move(found->second.on_piece);
  waiters->by_id.erase(found);
  waiters.unlock();
}

std::optional<chunk::Class> TorrentLayer::awaited(uint32_t piece) const {
  std::optional<chunk::Class> most;
  auto waiters = waiters_.lock();
  for (const auto& [id, waiter] : waiters->by_id)
    if (waiter.piece == piece && !waiter.held)
      most = std::min(most.value_or(waiter.cls), waiter.cls);
  return most;
}

std::vector<uint32_t> TorrentLayer::awaited() const {
  std::vector<uint32_t> made;
  auto waiters = waiters_.lock();
  for (const auto& [id, waiter] : waiters->by_id) made.push_back(waiter.piece);
  std::sort(made.begin(), made.end());
  made.erase(std::unique(made.begin(), made.end()), made.end());
  return made;
}

void TorrentLayer::deliver(OnPiece on_piece, const util::Outcome<util::SharedBytes>& bytes) {
  deliveries_.post(util::Workers::Urgency::normal,
                   [call = std::move(on_piece), bytes] { call(bytes); });
}

void TorrentLayer::came(uint32_t piece, const util::Outcome<util::SharedBytes>& bytes) {
  auto waiters = waiters_.lock();
  auto& by_id = waiters->by_id;
  for (auto entry = by_id.begin(); entry != by_id.end();) {
    const bool meant = entry->second.piece == piece;
    if (meant) deliver(std::move(entry->second.on_piece), bytes);
    entry = meant ? by_id.erase(entry) : std::next(entry);
  }
}

void TorrentLayer::end(const util::Failure& failure) {
  auto waiters = waiters_.lock();
  waiters->ended = true;
  for (auto& [id, waiter] : std::exchange(waiters->by_id, {}))
    deliver(std::move(waiter.on_piece), failure);
}

void give_from_store(const std::shared_ptr<TorrentLayer>& layer, uint32_t piece) {
  if (!layer->awaited(piece)) return;
  layer->stored().read(layer->bytes_of(piece),
                       [layer, piece](const util::Outcome<util::SharedBytes>& outcome) {
                         layer->came(piece, outcome);
                       });
}

}  // namespace swarmfs::swarm
