// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/timers.h"

#include <algorithm>

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
  state_.lock()->tasks.emplace(std::chrono::steady_clock::now() + delay, std::move(task));
  changed_.notify_all();
}

Operation Timers::at(SteadyTime when, std::function<void()> callback) {
  auto task = std::make_shared<Task>();
  task->callback = std::move(callback);
  state_.lock()->tasks.emplace(when, task);
  changed_.notify_all();
  return Operation([this, task, when] {
    task->gate.close();
    auto state = state_.lock();
    auto [begin, end] = state->tasks.equal_range(when);
    const auto found =
        std::find_if(begin, end, [&](const auto& entry) { return entry.second == task; });
    if (found != end) state->tasks.erase(found);
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
      state->tasks.erase(state->tasks.begin());
    }
    due->gate.run(due->callback);
  }
}

}  // namespace swarmfs::util
