// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/chunk_cache.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cassert>
#include <iterator>
#include <sstream>

#include "util/error.h"
#include "util/file.h"
#include "util/log.h"

namespace swarmfs::cache {

namespace fs = std::filesystem;
using Urgency = util::Workers::Urgency;

namespace {

constexpr const char* kCleanMarker = "clean";

fs::path made(const fs::path& directory) {
  fs::create_directories(directory);
  return directory;
}

}  // namespace

ChunkCache::ChunkCache(CacheOptions options, util::Timers& timers, util::Workers& workers,
                       util::Metrics& metrics)
    : options_(std::move(options)),
      timers_(timers),
      workers_(workers),
      bytes_gauge_(metrics.gauge("swarmfs_cache_bytes", "Bytes of layers in the chunk cache")),
      quota_gauge_(metrics.gauge("swarmfs_cache_quota_bytes", "Limit for swarmfs_cache_bytes")),
      evicted_counter_(metrics.counter("swarmfs_cache_evicted_bytes_total",
                                       "Bytes evicted from the chunk cache")),
      wrong_counter_(metrics.counter("swarmfs_verification_failures_total",
                                     "Bytes that did not match their digest or hash tree",
                                     {{"source", "cache"}})),
      documents_(made(options_.directory) / "docs"),
      queue_(std::make_unique<io::Queue>()) {
  set_limits(options_.quota, options_.high_watermark, options_.low_watermark);
  lock_directory();
  take_clean_marker();
  made(options_.directory / "layers");
  load();
  if (used_ > high_) evict_to_low_watermark(true);
  tick_ = timers_.every(options_.sync_interval, [this] {
    if (!syncing_.exchange(true)) post(Urgency::normal, [this] { sync(); });
  });
}

ChunkCache::~ChunkCache() {
  tick_.cancel();
  wait_for_jobs();
  for (const auto& layer : snapshot(true)) layer->forget_read_ahead();  // the queue's buffers
  queue_.reset();
  wait_for_jobs();  // the queue's last reads may have had to be checked
  try {
    sync();
    leave_clean_marker();
  } catch (const std::exception& error) {
    util::log::error("cache: the last sync failed: {}", error.what());
  }
}

void ChunkCache::lock_directory() {
  const fs::path file = options_.directory / "lock";
  directory_lock_ = util::UniqueFd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!directory_lock_) throw util::SysError("open " + file.string());
  if (::flock(directory_lock_.get(), LOCK_EX | LOCK_NB))
    throw util::Error("the cache directory " + options_.directory.string() +
                      " is in use by another swarmfsd; stop it or set [cache] directory");
}

void ChunkCache::take_clean_marker() {
  const fs::path file = options_.directory / kCleanMarker;
  const auto names = util::read_text(file);
  if (!names) return;
  std::istringstream lines(*names);
  suspect_.emplace(std::istream_iterator<std::string>(lines), std::istream_iterator<std::string>());
  util::remove_file_durably(file);
}

void ChunkCache::leave_clean_marker() {
  std::string names;
  for (const auto& layer : snapshot(true))
    if (layer->has_suspects()) names += layer->digest().hex() + "\n";
  util::write_file_durably(options_.directory / kCleanMarker, util::as_bytes(names), 0600);
}

void ChunkCache::load() {
  size_t suspects = 0;
  auto layers = layers_.lock();
  for (const auto& entry : fs::directory_iterator(options_.directory / "layers")) {
    if (entry.path().extension() != ".bits") continue;
    const auto facts = LayerFiles::peek(entry.path());
    if (!facts) {
      util::log::warning("cache: {} is unreadable; its layer is dropped", entry.path().string());
      fs::remove(entry.path());
      fs::remove(fs::path(entry.path()).replace_extension(".bytes"));
      continue;
    }
    // Space has no tree; it can be inflated again, but offline that would be no help.
    const bool suspect =
        facts->form == chunk::Form::bytes && (!suspect_ || suspect_->contains(facts->digest.hex()));
    auto layer = std::make_shared<CachedLayer>(
        LayerFiles(options_.directory / "layers", facts->digest, facts->form, facts->size), *queue_,
        static_cast<Budget&>(*this), suspect);
    suspects += layer->has_suspects();
    used_ += layer->cost();
    layers->emplace(Key{facts->digest, facts->form}, std::move(layer));
  }
  bytes_gauge_.set(static_cast<double>(used_));
  if (suspects && !suspect_)
    util::log::warning("cache: the last stop was not clean; {} layers are checked when read",
                       suspects);
}

void ChunkCache::check(std::function<void()> job) {
  post(Urgency::urgent, std::move(job));
}

void ChunkCache::count_wrong(uint64_t blocks) {
  wrong_counter_.add(static_cast<double>(blocks));
}

void ChunkCache::wait_for_jobs() {
  auto jobs = jobs_.lock();
  jobs.wait(jobs_changed_, [&] { return *jobs == 0; });
}

void ChunkCache::post(Urgency urgency, std::function<void()> job) {
  ++*jobs_.lock();
  workers_.post(urgency, [this, job = std::move(job)] {
    try {
      job();
    } catch (const std::exception& error) {
      util::log::error("cache: {}", error.what());
    }
    auto jobs = jobs_.lock();
    --*jobs;
    jobs_changed_.notify_all();
  });
}

void ChunkCache::sync() {
  syncing_ = false;
  for (const auto& layer : snapshot(true)) layer->sync();
}

std::shared_ptr<chunk::StoredLayer> ChunkCache::open(const util::Digest& digest, uint64_t size,
                                                     chunk::Form form) {
  auto layers = layers_.lock();
  auto& slot = (*layers)[Key{digest, form}];
  if (slot && slot->size() == size) return slot;
  if (slot && slot->bytes_present() > 0 && slot->verified())
    throw util::Error("layer " + digest.to_string() + " has " + std::to_string(slot->size()) +
                      " bytes here, but " + std::to_string(size) + " are claimed");
  if (slot) give_back(slot->cost());
  try {
    slot =
        std::make_shared<CachedLayer>(LayerFiles(options_.directory / "layers", digest, form, size),
                                      *queue_, static_cast<Budget&>(*this));
  } catch (...) {
    layers->erase(Key{digest, form});
    throw;
  }
  return slot;
}

std::optional<uint64_t> ChunkCache::size_of(const util::Digest& digest) const {
  auto layers = layers_.lock();
  const auto found = layers->find(Key{digest, chunk::Form::bytes});
  return found == layers->end() ? std::nullopt : std::optional(found->second->size());
}

std::vector<util::Digest> ChunkCache::layers() const {
  std::vector<util::Digest> found;
  auto layers = layers_.lock();
  for (const auto& [key, layer] : *layers)
    if (key.second == chunk::Form::bytes) found.push_back(key.first);
  return found;
}

chunk::StoreUsage ChunkCache::usage() const {
  return {used_, quota_, evicted_, layers_.lock()->size()};
}

void ChunkCache::set_limits(uint64_t quota, double high_watermark, double low_watermark) {
  const auto share = [&](double part) {
    return static_cast<uint64_t>(static_cast<double>(quota) * part);
  };
  quota_ = quota;
  high_ = share(high_watermark);
  low_ = share(low_watermark);
  quota_gauge_.set(static_cast<double>(quota));
  if (used_ > high_) start_eviction(true);
}

bool ChunkCache::may_hold(uint64_t bytes, chunk::Class cls) const {
  if (used_ + bytes <= high_) return true;
  const bool open_too = cls == chunk::Class::fault || cls == chunk::Class::pull;
  for (const auto& layer : snapshot(open_too))
    if (!layer->candidates().empty()) return true;
  return false;
}

bool ChunkCache::reserve(uint64_t bytes, chunk::Class cls) {
  const uint64_t after = used_ += bytes;
  if (after > high_) start_eviction(cls == chunk::Class::fault || cls == chunk::Class::pull);
  if (after <= quota_) return true;
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
    evict_to_low_watermark(open_layers_too);
    evicting_ = false;
  });
}

void ChunkCache::evict_to_low_watermark(bool open_layers_too) {
  const uint64_t used = used_;
  const uint64_t low = low_;
  if (used <= low) return;
  const uint64_t freed = evict_oldest(used - low, open_layers_too);
  util::log::debug("cache: evicted {} of {}", util::human_bytes(freed), util::human_bytes(used));
}

std::vector<std::shared_ptr<CachedLayer>> ChunkCache::snapshot(bool open_layers_too) const {
  std::vector<std::shared_ptr<CachedLayer>> found;
  auto layers = layers_.lock();
  for (const auto& [key, layer] : *layers)
    if (open_layers_too || layer.use_count() == 1) found.push_back(layer);
  return found;
}

uint64_t ChunkCache::evict_oldest(uint64_t wanted, bool open_layers_too) {
  struct Victim {
    uint32_t last_use;
    CachedLayer* layer;
    size_t extent;
  };
  const auto layers = snapshot(open_layers_too);
  std::vector<Victim> victims;
  for (const auto& layer : layers)
    for (const auto& candidate : layer->candidates())
      victims.push_back({candidate.last_use, layer.get(), candidate.extent});
  std::sort(victims.begin(), victims.end(),
            [](auto& a, auto& b) { return a.last_use < b.last_use; });
  std::map<CachedLayer*, std::vector<size_t>> by_layer;
  uint64_t planned = 0;
  for (const auto& victim : victims) {
    if (planned >= wanted) break;
    by_layer[victim.layer].push_back(victim.extent);
    planned += CachedLayer::kExtent;
  }
  uint64_t freed = 0;
  for (auto& [layer, extents] : by_layer) freed += layer->evict(extents);
  evicted_ += freed;
  evicted_counter_.add(static_cast<double>(freed));
  return freed;
}

uint64_t ChunkCache::evict_all() {
  return evict_oldest(UINT64_MAX, true);
}

void ChunkCache::save_document(const std::string& name, util::ByteView content) {
  documents_.save(name, content);
}
std::optional<util::Bytes> ChunkCache::load_document(const std::string& name) const {
  return documents_.load(name);
}
void ChunkCache::remove_document(const std::string& name) {
  documents_.remove(name);
}
std::vector<std::string> ChunkCache::documents(const std::string& prefix) const {
  return documents_.names(prefix);
}

}  // namespace swarmfs::cache
