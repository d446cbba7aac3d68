// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/workers.h"

namespace swarmfs::util {

Workers::Workers(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

Workers::~Workers() {
  state_.lock()->stopping = true;
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Workers::post(Urgency urgency, std::function<void()> job) {
  {
    auto state = state_.lock();
    (urgency == Urgency::urgent ? state->urgent : state->normal).push_back(std::move(job));
  }
  changed_.notify_one();
}

void Workers::run() {
  for (;;) {
    std::function<void()> job;
    {
      auto state = state_.lock();
      state.wait(changed_, [&] {
        return state->stopping || !state->urgent.empty() || !state->normal.empty();
      });
      auto& queue = state->urgent.empty() ? state->normal : state->urgent;
      if (queue.empty()) return;
      job = std::move(queue.front());
      queue.pop_front();
    }
    job();
  }
}

}  // namespace swarmfs::util
