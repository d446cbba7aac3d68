// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/disk_trouble.h"

#include "util/log.h"

namespace swarmfs::cache {

DiskTrouble::DiskTrouble(std::filesystem::path directory, util::Metrics& metrics)
    : directory_(std::move(directory)),
      failures_(metrics.counter("swarmfs_cache_disk_failures_total",
                                "Operations that the disk of the chunk cache refused")) {}

std::string DiskTrouble::describe(const util::SysError& error) const {
  const bool full = is_full(error.code());
  return "the disk of the cache in " + directory_.string() + (full ? " is full" : " fails") + " (" +
         error.what() +
         "): images stay readable, but what is read may not be kept, and changes to mounts may not "
         "outlive a restart; " +
         (full ? "free space there, lower [cache] quota or move [cache] directory"
               : "look at the kernel's log, replace it or move [cache] directory");
}

void DiskTrouble::failed(const util::SysError& error, util::SteadyTime now) {
  failures_.add();
  auto episodes = episodes_.lock();
  auto& episode = (*episodes)[is_full(error.code())];
  episode.last = now;
  if (!episode.text.empty()) return;
  episode.text = describe(error);
  util::log::warning("{}", episode.text);
}

void DiskTrouble::look(util::SteadyTime now) {
  auto episodes = episodes_.lock();
  for (auto& episode : *episodes) {
    if (episode.text.empty() || now - episode.last < kCalm) continue;
    episode.text.clear();
    util::log::info("the disk of the cache in {} does what it should again", directory_.string());
  }
}

std::string DiskTrouble::text() const {
  auto episodes = episodes_.lock();
  for (const auto& episode : *episodes)
    if (!episode.text.empty()) return episode.text;
  return "";
}

}  // namespace swarmfs::cache
