// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <future>
#include <map>
#include <optional>
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
    if (const auto other = begin(key, promise)) return other->get();
    return finish(key, promise, failing, work);
  }
  /// The same, but where others are at it nothing is waited for: empty.
  template <class Work>
  std::optional<Result> try_run(const Key& key, const std::string& failing, Work work) {
    std::promise<Result> promise;
    if (begin(key, promise)) return std::nullopt;
    return finish(key, promise, failing, work);
  }

 private:
  using Answer = std::shared_future<Result>;

  /// Of whom is at it already; else we are, from now on.
  std::optional<Answer> begin(const Key& key, std::promise<Result>& promise) {
    auto running = running_.lock();
    const auto [at, mine] = running->try_emplace(key);
    if (!mine) return at->second;
    at->second = promise.get_future().share();
    return std::nullopt;
  }
  template <class Work>
  Result finish(const Key& key, std::promise<Result>& promise, const std::string& failing,
                Work work) {
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

  Sync<std::map<Key, Answer>> running_;
};

}  // namespace swarmfs::util
