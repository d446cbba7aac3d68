// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <future>
#include <map>
#include <string>

#include "util/outcome.h"
#include "util/sync.h"

namespace swarmfs::util {

/// Long work, done once for all who ask for the same while it goes on. Any thread; blocking.
template <class Key, class T>
class Once {
 public:
  using Result = Outcome<T>;

  /// What `work` gives, here or on the thread that was first. An exception is a failure:
  /// `failing`, and what it says.
  template <class Work>
  Result run(const Key& key, const std::string& failing, Work work) {
    std::promise<Result> promise;
    {
      auto running = running_.lock();
      const auto [at, mine] = running->try_emplace(key);
      if (!mine) {
        const auto other = at->second;
        running.unlock();
        return other.get();
      }
      at->second = promise.get_future().share();
    }
    Result result = Failure{};
    try {
      result = work();
    } catch (const std::exception& error) {
      result = Failure{Fault::unavailable, failing + error.what()};
    }
    running_.lock()->erase(key);
    promise.set_value(result);
    return result;
  }

 private:
  Sync<std::map<Key, std::shared_future<Result>>> running_;
};

}  // namespace swarmfs::util
