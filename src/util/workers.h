// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "util/sync.h"

namespace swarmfs::util {

/// A few threads for work that keeps a core busy (inflating, hashing, merging). Urgent jobs go
/// before the others. A job may wait for nothing but locks. The destructor runs what is queued.
class Workers {
 public:
  enum class Urgency { urgent, normal };

  explicit Workers(unsigned threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Any thread. Jobs must not throw.
  void post(Urgency urgency, std::function<void()> job);

 private:
  struct State {
    std::deque<std::function<void()>> urgent;
    std::deque<std::function<void()>> normal;
    bool stopping = false;
  };
  void run();

  Sync<State> state_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
};

}  // namespace swarmfs::util
