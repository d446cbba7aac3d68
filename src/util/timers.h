// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "util/clock.h"
#include "util/operation.h"
#include "util/sync.h"

namespace swarmfs::util {

/// Calls back at a time. Callbacks run one at a time on the timer's own thread, with no lock held,
/// and must be short.
class Timers {
 public:
  Timers();
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  /// Any thread. The callback runs once at or after `when` unless the operation dies first.
  [[nodiscard]] Operation at(SteadyTime when, std::function<void()> callback);
  [[nodiscard]] Operation after(Duration delay, std::function<void()> callback);
  /// Again and again, `period` after each call.
  [[nodiscard]] Operation every(Duration period, std::function<void()> callback);
  /// Cannot be taken back: the callback must hold what it calls weakly.
  void post(Duration delay, std::function<void()> callback);

 private:
  struct Task;
  using Tasks = std::multimap<SteadyTime, std::shared_ptr<Task>>;
  struct Task {
    CallbackGate gate;
    std::function<void()> callback;
    Duration period{};      ///< zero: once
    bool waits = false;     ///< guarded by state_, as is:
    Tasks::iterator entry;  ///< where it waits
  };
  struct State {
    Tasks tasks;
    bool stopping = false;
  };
  void run();
  void put(SteadyTime when, std::shared_ptr<Task> task);
  Operation cancelling(std::shared_ptr<Task> task);

  Sync<State> state_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace swarmfs::util
