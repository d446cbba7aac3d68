// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <future>
#include <map>
#include <string>

#include "util/digest.h"
#include "util/outcome.h"
#include "util/sync.h"

namespace swarmfs::content {

/// Long work on a layer, done once for all who ask while it goes on. Any thread; blocking.
template <class T>
class Once {
 public:
  using Result = util::Outcome<T>;

  /// What `work` gives, here or on the thread that was first. An exception is a failure.
  template <class Work>
  Result run(const util::Digest& layer, const std::string& doing, Work work) {
    std::promise<Result> promise;
    {
      auto running = running_.lock();
      const auto [at, mine] = running->try_emplace(layer);
      if (!mine) {
        const auto other = at->second;
        running.unlock();
        return other.get();
      }
      at->second = promise.get_future().share();
    }
    Result result = util::Failure{};
    try {
      result = work();
    } catch (const std::exception& error) {
      result = util::Failure{util::Fault::unavailable, "while " + doing + " layer " +
                                                           layer.short_hex() + ": " + error.what()};
    }
    running_.lock()->erase(layer);
    promise.set_value(result);
    return result;
  }

 private:
  util::Sync<std::map<util::Digest, std::shared_future<Result>>> running_;
};

}  // namespace swarmfs::content
