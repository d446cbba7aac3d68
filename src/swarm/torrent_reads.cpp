// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_reads.h"

namespace swarmfs::swarm {

using util::ByteRange;

void TorrentReads::read(const std::shared_ptr<TorrentLayer>& layer, ByteRange range,
                        OnBytes on_bytes) {
  if (range.empty())
    return boost::asio::post(network_, [then = std::move(on_bytes)] { then(util::SharedBytes()); });
  const Key key{layer.get(), range.offset / kStretch};
  const ByteRange part{range.offset % kStretch, range.length};
  if (part.end() > kStretch) return read_store(layer, range, std::move(on_bytes));
  const auto [entry, fresh] = stretches_.try_emplace(key);
  auto& stretch = entry->second;
  if (!stretch.here) {
    stretch.wishes.push_back({part, std::move(on_bytes)});
    if (fresh) load(key, stretch.layer = layer);
    return;
  }
  used_.splice(used_.begin(), used_, stretch.used);
  boost::asio::post(network_,
                    [on_bytes = std::move(on_bytes),
                     bytes = stretch.bytes.slice(part.offset, part.length)] { on_bytes(bytes); });
}

void TorrentReads::load(const Key& key, const std::shared_ptr<TorrentLayer>& layer) {
  const auto range = ByteRange{key.second * kStretch, kStretch}.clamp(layer->ref().size);
  read_store(layer, range, [this, key](const auto& bytes) { on_loaded(key, bytes); });
}

void TorrentReads::read_store(const std::shared_ptr<TorrentLayer>& layer, ByteRange range,
                              OnBytes then) {
  // Moved out in the end: what it holds of libtorrent's must die on the network thread.
  const auto held = std::make_shared<OnBytes>(std::move(then));
  // The call keeps the network thread going until the answer is posted.
  layer->stored().read(range, [call = calls_->begin(network_), this, layer,
                               held](util::Outcome<util::SharedBytes> outcome) {
    // The store has few of the buffers that it reads into.
    if (outcome) {
      const auto view = outcome->view();
      outcome = util::SharedBytes::of({view.begin(), view.end()});
    } else if (outcome.failure().fault == util::Fault::not_found) {
      layer->set_broken();
    }
    boost::asio::post(network_, [held, outcome = std::move(outcome)] {
      const auto call_last = std::move(*held);
      call_last(outcome);
    });
  });
}

void TorrentReads::on_loaded(const Key& key, const util::Outcome<util::SharedBytes>& bytes) {
  const auto entry = stretches_.find(key);
  auto& stretch = entry->second;
  const auto wishes = std::exchange(stretch.wishes, {});
  if (bytes && !stretch.forgotten)
    keep(key, stretch, *bytes);
  else
    stretches_.erase(entry);
  for (const auto& [part, on_bytes] : wishes) {
    if (bytes)
      on_bytes(bytes->slice(part.offset, part.length));
    else
      on_bytes(bytes);
  }
}

void TorrentReads::keep(const Key& key, Stretch& stretch, const util::SharedBytes& bytes) {
  stretch.here = true;
  stretch.bytes = bytes;
  stretch.used = used_.insert(used_.begin(), key);
  if (kept() <= kMostKept) return;
  stretches_.erase(used_.back());
  used_.pop_back();
}

void TorrentReads::forget(const TorrentLayer& layer) {
  for (auto entry = stretches_.lower_bound({&layer, 0});
       entry != stretches_.end() && entry->first.first == &layer;) {
    if (entry->second.here) {
      used_.erase(entry->second.used);
      entry = stretches_.erase(entry);
    } else {
      entry->second.forgotten = true;
      ++entry;
    }
  }
}

}  // namespace swarmfs::swarm
