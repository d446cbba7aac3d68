// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>

#include "util/sync.h"
#include "util/workers.h"

namespace swarmfs::registry {

/// Jobs that wait for token services and credential helpers: those of one host one after the other,
/// so that one answer serves all who queue, those of several hosts side by side. The destructor
/// runs what is queued.
class AuthQueue {
 public:
  /// Any thread. Jobs must not throw.
  void post(const std::string& host, std::function<void()> job);

 private:
  void run_next(const std::string& host);

  /// By host; the first job is running.
  util::Sync<std::map<std::string, std::deque<std::function<void()>>>> queues_;
  util::Workers workers_{6};
};

}  // namespace swarmfs::registry
