// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/chunk_cache.h"

#include <fcntl.h>
#include <sys/file.h>

#include <fmt/ranges.h>

#include <algorithm>
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
      trouble_(options_.directory, metrics),
      documents_(made(options_.directory) / "docs"),
      queue_(std::make_unique<io::Queue>()) {
  set_limits(options_.quota, options_.high_watermark, options_.low_watermark);
  lock_directory();
  take_clean_marker();
  made(options_.directory / "layers");
  load();
  if (used_ > allowance_.high()) evict_to_low_watermark(true);
  tick_ = timers_.every(options_.sync_interval, [this] {
    if (syncing_.exchange(true)) return;
    post(Urgency::normal, [this] {
      sync();
      tend_disk();
      syncing_ = false;
    });
  });
}

ChunkCache::~ChunkCache() {
  tick_.cancel();
  close_jobs();
  wait_for_jobs();
  for (const auto& [layer, open] : snapshot(true))
    layer->forget_read_ahead();  // the queue's buffers
  queue_.reset();
  wait_for_jobs();  // the queue's last reads may have had to be checked
  sync();
  save_waiting();
  if (const auto lost = documents_.waiting(); !lost.empty())
    util::log::error("cache: {} documents could not be saved and are lost: {}", lost.size(),
                     fmt::join(lost, ", "));
  try {
    leave_clean_marker();
  } catch (const std::exception& error) {
    util::log::error("cache: every block will be checked after the next start: {}", error.what());
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
  for (const auto& [layer, open] : snapshot(true))
    if (layer->has_suspects()) names += layer->digest().hex() + "\n";
  with_room(names.size(), [&] {
    util::write_file_durably(options_.directory / kCleanMarker, util::as_bytes(names), 0600);
  });
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
        facts->form != chunk::Form::space && (!suspect_ || suspect_->contains(facts->digest.hex()));
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

void ChunkCache::close_jobs() {
  jobs_.lock()->closing = true;
}

void ChunkCache::wait_for_jobs() {
  auto jobs = jobs_.lock();
  jobs.wait(jobs_changed_, [&] { return jobs->running == 0; });
}

void ChunkCache::post(Urgency urgency, std::function<void()> job) {
  ++jobs_.lock()->running;
  run_counted(urgency, std::move(job));
}

void ChunkCache::run_counted(Urgency urgency, std::function<void()> job) {
  workers_.post(urgency, [this, job = std::move(job)]() mutable {
    try {
      job();
    } catch (const std::exception& error) {
      util::log::error("cache: {}", error.what());
    }
    job = nullptr;
    auto jobs = jobs_.lock();
    --jobs->running;
    jobs_changed_.notify_all();
  });
}

void ChunkCache::sync() {
  std::vector<Key> keys;
  {
    auto layers = layers_.lock();
    for (const auto& [key, layer] : *layers) keys.push_back(key);
  }
  // One at a time: who holds a layer keeps it from eviction for bulk.
  for (const auto& key : keys)
    if (const auto layer = find(key)) layer->sync();
}

std::shared_ptr<CachedLayer> ChunkCache::find(const Key& key) const {
  auto layers = layers_.lock();
  const auto found = layers->find(key);
  return found == layers->end() ? nullptr : found->second;
}

void ChunkCache::tend_disk() {
  constexpr unsigned kPause = 5;
  if (allowance_.disk_is_smaller()) allowance_.disk_takes(held() + available());
  if (++ticks_ % kPause == 0) save_waiting();
  if (ticks_ % kEmptyPause == 0) drop_empty();
  trouble_.look();
}

void ChunkCache::drop_empty() {
  auto layers = layers_.lock();
  for (auto at = layers->begin(); at != layers->end();) {
    auto& layer = at->second;
    if (layer.use_count() > 1 || layer->cost() > 0 || layer->pinned()) {
      ++at;
      continue;
    }
    try {
      layer->remove_files();
    } catch (const util::SysError& error) {
      trouble_.failed(error);
    }
    at = layers->erase(at);
  }
}

void ChunkCache::save_waiting() {
  try {
    while (!documents_.waiting().empty())
      with_room(documents_.next_waiting(), [&] { documents_.save_next(); });
  } catch (const util::SysError& error) {
    trouble_.failed(error);
  }
}

std::shared_ptr<chunk::StoredLayer> ChunkCache::open(const util::Digest& digest, uint64_t size,
                                                     chunk::Form form) {
  std::shared_ptr<CachedLayer> layer;
  try {
    with_room(0, [&] { layer = open_now(Key{digest, form}, size); });
  } catch (util::SysError& error) {
    trouble_.failed(error);
    error.add("the cache in " + options_.directory.string() + " has no place for layer " +
              digest.short_hex() + "; free space there or set another [cache] directory");
    throw;
  }
  return layer;
}

std::shared_ptr<CachedLayer> ChunkCache::open_now(const Key& key, uint64_t size) {
  auto layers = layers_.lock();
  auto& slot = (*layers)[key];
  if (slot && slot->size() == size) return slot;
  if (slot && slot->bytes_present() > 0 && slot->verified())
    throw util::Error("layer " + key.first.to_string() + " has " + std::to_string(slot->size()) +
                      " bytes here, but " + std::to_string(size) + " are claimed");
  if (slot) give_back(slot->cost());
  try {
    slot = std::make_shared<CachedLayer>(
        LayerFiles(options_.directory / "layers", key.first, key.second, size), *queue_,
        static_cast<Budget&>(*this));
  } catch (...) {
    layers->erase(key);
    throw;
  }
  return slot;
}

std::optional<uint64_t> ChunkCache::size_of(const util::Digest& digest) const {
  const auto layer = find({digest, chunk::Form::bytes});
  return layer ? std::optional(layer->size()) : std::nullopt;
}

std::vector<util::Digest> ChunkCache::layers() const {
  std::vector<util::Digest> found;
  auto layers = layers_.lock();
  for (const auto& [key, layer] : *layers)
    if (key.second == chunk::Form::bytes) found.push_back(key.first);
  return found;
}

chunk::StoreUsage ChunkCache::usage() const {
  const uint64_t quota = allowance_.quota();
  return {used_,    quota,           std::min(quota, used_ + available()),
          evicted_, layers().size(), trouble_.text()};
}

void ChunkCache::save_document(const std::string& name, util::ByteView content) {
  try {
    with_room(content.size(), [&] { documents_.save(name, content); });
  } catch (const util::SysError& error) {
    trouble_.failed(error);
    documents_.keep_waiting(name, content);
  }
}
std::optional<util::Bytes> ChunkCache::load_document(const std::string& name) const {
  return documents_.load(name);
}
void ChunkCache::remove_document(const std::string& name) {
  try {
    documents_.remove(name);
  } catch (const util::SysError& error) {
    trouble_.failed(error);
  }
}
std::vector<std::string> ChunkCache::documents(const std::string& prefix) const {
  return documents_.names(prefix);
}

}  // namespace swarmfs::cache
