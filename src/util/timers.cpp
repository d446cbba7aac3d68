// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/timers.h"

#include <utility>

namespace swarmfs::util {

Timers::Timers() : thread_([this] { run(); }) {}

Timers::~Timers() {
  state_.lock()->stopping = true;
  changed_.notify_all();
  thread_.join();
}

Operation Timers::after(Duration delay, std::function<void()> callback) {
  return at(std::chrono::steady_clock::now() + delay, std::move(callback));
}

void Timers::post(Duration delay, std::function<void()> callback) {
  auto task = std::make_shared<Task>();
  task->callback = std::move(callback);
  put(std::chrono::steady_clock::now() + delay, std::move(task));
}

Operation Timers::at(SteadyTime when, std::function<void()> callback) {
  auto task = std::make_shared<Task>();
  task->callback = std::move(callback);
  put(when, task);
  return cancelling(std::move(task));
}

Operation Timers::every(Duration period, std::function<void()> callback) {
  auto task = std::make_shared<Task>();
  task->callback = std::move(callback);
  task->period = period;
  put(std::chrono::steady_clock::now() + period, task);
  return cancelling(std::move(task));
}

void Timers::put(SteadyTime when, std::shared_ptr<Task> task) {
  auto state = state_.lock();
  task->entry = state->tasks.emplace(when, task);
  task->waits = true;
  // The thread sleeps until the first one, or less.
  if (task->entry == state->tasks.begin()) changed_.notify_all();
}

Operation Timers::cancelling(std::shared_ptr<Task> task) {
  return Operation([this, task = std::move(task)] {
    task->gate.close();
    auto state = state_.lock();
    if (std::exchange(task->waits, false)) state->tasks.erase(task->entry);
  });
}

void Timers::run() {
  for (;;) {
    std::shared_ptr<Task> due;
    {
      auto state = state_.lock();
      if (state->tasks.empty()) {
        state.wait(changed_, [&] { return state->stopping || !state->tasks.empty(); });
      } else {
        const SteadyTime next = state->tasks.begin()->first;
        state.wait_until(changed_, next, [&] {
          return state->stopping || state->tasks.empty() || state->tasks.begin()->first < next;
        });
      }
      if (state->stopping) return;
      if (state->tasks.empty() || state->tasks.begin()->first > std::chrono::steady_clock::now())
        continue;
      due = std::move(state->tasks.begin()->second);
      due->waits = false;
      state->tasks.erase(state->tasks.begin());
    }
    due->gate.run([&] {
      due->callback();
      if (due->period.count() > 0) put(std::chrono::steady_clock::now() + due->period, due);
    });
  }
}

}  // namespace swarmfs::util
