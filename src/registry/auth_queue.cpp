// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/auth_queue.h"

namespace swarmfs::registry {

void AuthQueue::post(const std::string& host, std::function<void()> job) {
  bool first = false;
  {
    auto queues = queues_.lock();
    auto& queue = (*queues)[host];
    queue.push_back(std::move(job));
    first = queue.size() == 1;
  }
  if (first) workers_.post(util::Workers::Urgency::normal, [this, host] { run_next(host); });
}

void AuthQueue::run_next(const std::string& host) {
  std::function<void()> job;
  {
    auto queues = queues_.lock();
    job = std::move(queues->at(host).front());
  }
  job();
  {
    auto queues = queues_.lock();
    auto& queue = queues->at(host);
    queue.pop_front();
    if (queue.empty()) {
      queues->erase(host);
      return;
    }
  }
  workers_.post(util::Workers::Urgency::normal, [this, host] { run_next(host); });
}

}  // namespace swarmfs::registry
