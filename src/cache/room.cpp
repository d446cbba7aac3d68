// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// ChunkCache: how room is made, in the quota and on the disk.

#include <sys/statvfs.h>

#include <algorithm>
#include <cassert>
#include <tuple>

#include "cache/chunk_cache.h"
#include "util/log.h"

namespace swarmfs::cache {

using Urgency = util::Workers::Urgency;

namespace {

/// Free space beyond what is asked for: files take a little more than their bytes.
constexpr uint64_t kSlack = 256 << 10;
constexpr uint64_t kAll = UINT64_MAX;

bool takes_open_layers(chunk::Class cls) {
  return cls == chunk::Class::fault || cls == chunk::Class::pull;
}

struct Reset {
  std::atomic<bool>& flag;
  ~Reset() { flag = false; }
};

}  // namespace

void ChunkCache::set_limits(uint64_t quota, double high_watermark, double low_watermark) {
  allowance_.set(quota, high_watermark, low_watermark);
  quota_gauge_.set(static_cast<double>(quota));
  if (used_ > allowance_.high()) start_eviction(true);
}

bool ChunkCache::may_hold(uint64_t bytes, chunk::Class cls) const {
  if (used_ + bytes <= allowance_.high()) return true;
  for (const auto& [layer, open] : snapshot(takes_open_layers(cls)))
    if (!layer->candidates().empty()) return true;
  return false;
}

bool ChunkCache::reserve(uint64_t bytes, chunk::Class cls) {
  const uint64_t after = used_ += bytes;
  if (after > allowance_.high()) start_eviction(takes_open_layers(cls));
  if (after <= allowance_.quota()) return true;
  used_ -= bytes;
  return false;
}

void ChunkCache::give_back(uint64_t bytes) {
  assert(used_ >= bytes);
  used_ -= bytes;
  bytes_gauge_.set(static_cast<double>(used_));
}

void ChunkCache::start_eviction(bool open_layers_too) {
  if (evicting_.exchange(true)) return;
  post(Urgency::normal, [this, open_layers_too] {
    const Reset reset{evicting_};
    evict_to_low_watermark(open_layers_too);
  });
}

void ChunkCache::evict_to_low_watermark(bool open_layers_too) {
  const uint64_t used = used_;
  const uint64_t low = allowance_.low();
  if (used <= low) return;
  const uint64_t freed = evict_oldest(used - low, open_layers_too);
  util::log::debug("cache: evicted {} of {}", util::human_bytes(freed), util::human_bytes(used));
}

std::vector<ChunkCache::Known> ChunkCache::snapshot(bool open_layers_too) const {
  std::vector<Known> found;
  auto layers = layers_.lock();
  for (const auto& [key, layer] : *layers) {
    const bool open = layer.use_count() > 1;
    if (open_layers_too || !open) found.push_back({layer, open});
  }
  return found;
}

uint64_t ChunkCache::evict_oldest(uint64_t wanted, bool open_layers_too) {
  struct Victim {
    bool precious;
    uint32_t last_use;
    CachedLayer* layer;
    size_t extent;
    uint64_t bytes;
  };
  const auto layers = snapshot(open_layers_too);
  std::vector<Victim> victims;
  for (const auto& [layer, open] : layers) {
    const bool windows = layer->form() == chunk::Form::windows;
    if (windows && wanted == kAll) continue;
    for (const auto& candidate : layer->candidates())
      victims.push_back(
          {windows && open, candidate.last_use, layer.get(), candidate.extent, candidate.bytes});
  }
  std::sort(victims.begin(), victims.end(), [](auto& a, auto& b) {
    return std::tie(a.precious, a.last_use) < std::tie(b.precious, b.last_use);
  });
  std::map<CachedLayer*, std::vector<size_t>> by_layer;
  uint64_t planned = 0;
  for (const auto& victim : victims) {
    if (planned >= wanted) break;
    by_layer[victim.layer].push_back(victim.extent);
    planned += victim.bytes;
  }
  uint64_t freed = 0;
  for (auto& [layer, extents] : by_layer) freed += layer->evict(extents);
  evicted_ += freed;
  evicted_counter_.add(static_cast<double>(freed));
  return freed;
}

uint64_t ChunkCache::evict_all() {
  return evict_oldest(kAll, true);
}

void ChunkCache::disk_failed(const util::SysError& error) {
  trouble_.failed(error);
}

uint64_t ChunkCache::available() const {
  struct statvfs facts {};
  if (::statvfs(options_.directory.c_str(), &facts)) return INT64_MAX;
  return static_cast<uint64_t>(facts.f_bavail) * facts.f_frsize;
}

uint64_t ChunkCache::held() const {
  uint64_t bytes = 0;
  for (const auto& [layer, open] : snapshot(true)) bytes += layer->cost();
  return bytes;
}

bool ChunkCache::make_room(uint64_t bytes, chunk::Class cls, std::function<void(bool)> then) {
  auto wanting = wanting_.lock();
  if (wanting->empty()) {
    {
      // Counted at once: who closes waits for it, or it does not begin.
      auto jobs = jobs_.lock();
      if (jobs->closing) return false;
      ++jobs->running;
    }
    run_counted(Urgency::urgent, [this] { serve_wanting(); });
  }
  wanting->push_back({bytes, takes_open_layers(cls), std::move(then)});
  return true;
}

void ChunkCache::serve_wanting() {
  std::vector<Wanting> all;
  std::swap(all, *wanting_.lock());
  for (const bool open_layers_too : {true, false}) {
    uint64_t bytes = 0;
    for (const auto& one : all)
      if (one.open_layers_too == open_layers_too) bytes += one.bytes;
    const bool room = bytes > 0 && make_room_now(bytes, open_layers_too);
    for (const auto& one : all)
      if (one.open_layers_too == open_layers_too) one.then(room);
  }
}

bool ChunkCache::make_room_now(uint64_t bytes, bool open_layers_too) {
  const auto one_by_one = making_room_.lock();
  const uint64_t wanted = bytes + kSlack;
  // Where there are blocks enough, eviction is no help against what the disk lacks.
  if (available() >= wanted) return true;
  const uint64_t held_now = held();
  allowance_.disk_was_full(held_now + available());
  const uint64_t low = allowance_.low();
  evict_oldest(std::max(wanted, held_now > low ? held_now - low : 0), open_layers_too);
  return available() >= bytes;
}

void ChunkCache::with_room(uint64_t bytes, const std::function<void()>& work) {
  try {
    return work();
  } catch (const util::SysError& error) {
    if (!DiskTrouble::is_full(error.code())) throw;
    trouble_.failed(error);
  }
  make_room_now(bytes, true);
  work();
}

}  // namespace swarmfs::cache
